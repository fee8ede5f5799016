//! A text as those may have written it who wrapped it: as it stands, with its escapes undone,
//! and out of base64. Each byte of a reading knows which part of the text it stands for.

use std::borrow::Cow;
use std::ops::Range;

/// How many escapes within escapes are undone: JSON in JSON in a query.
const MOST_ROUNDS: usize = 3;

/// The shortest run of base64's characters that is decoded; a shorter one is a word.
const SHORTEST_RUN: usize = 8;

/// What the bytes of the text are found to mean.
pub(super) struct Reading {
    pub bytes: Vec<u8>,
    /// The bytes of the text that each byte was read from.
    spans: Vec<(u32, u32)>,
    /// Whether it was decoded from base64: bytes share characters of the text then, and none of
    /// them can go alone.
    pub of_base64: bool,
}

/// The bytes that begin an escape of URLs, of JSON or of HTML.
const ESCAPES: &[u8] = b"%\\&";

/// Gives the text, and every other way to read it.
pub(super) fn readings(text: &str) -> Vec<Reading> {
    let mut readings = unescaped_by_rounds(Reading::of(text.as_bytes()), ESCAPES);
    let mut others = Vec::new();
    if let Some(plainest) = readings.last() {
        for skipped in 0..4 {
            if let Some(decoded) = plainest.out_of_base64(skipped) {
                others.extend(unescaped_by_rounds(decoded, ESCAPES));
            }
        }
    }
    // Where there are several kinds, one of them may be none: a per cent sign before a number.
    let kinds = ESCAPES.chunks(1);
    let there = kinds.filter(|kind| text.as_bytes().contains(&kind[0]));
    if there.clone().count() > 1 {
        for kind in there {
            let of_kind = unescaped_by_rounds(Reading::of(text.as_bytes()), kind);
            others.extend(of_kind.into_iter().skip(1));
        }
    }
    readings.extend(others);
    readings
}

/// Gives what remains of a text when its escapes are undone, as in the plainest of its readings.
pub(super) fn without_escapes(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| ESCAPES.contains(byte)) {
        return Cow::Borrowed(text);
    }
    let readings = unescaped_by_rounds(Reading::of(text), ESCAPES);
    let plainest = readings.into_iter().next_back();
    plainest
        .map_or_else(Vec::new, |plainest| plainest.bytes)
        .into()
}

/// Gives the first reading, and what each round of undoing escapes makes of it.
fn unescaped_by_rounds(first: Reading, escapes: &[u8]) -> Vec<Reading> {
    let mut readings = vec![first];
    while readings.len() <= MOST_ROUNDS
        && let Some(next) = readings.last().and_then(|last| last.unescaped(escapes))
    {
        readings.push(next);
    }
    readings
}

impl Reading {
    fn of(text: &[u8]) -> Self {
        let places = 0..u32::try_from(text.len()).unwrap_or(u32::MAX);
        Self {
            bytes: text.to_vec(),
            spans: places.map(|at| (at, at + 1)).collect(),
            of_base64: false,
        }
    }

    fn empty(of_base64: bool) -> Self {
        Self {
            bytes: Vec::new(),
            spans: Vec::new(),
            of_base64,
        }
    }

    /// The part of the text that a part of the reading stands for.
    pub fn span(&self, part: Range<usize>) -> Range<usize> {
        let spans = &self.spans[part];
        let start = spans.iter().map(|span| span.0).min().unwrap_or_default();
        let end = spans.iter().map(|span| span.1).max().unwrap_or_default();
        start as usize..end as usize
    }

    fn push(&mut self, bytes: &[u8], from: &[(u32, u32)]) {
        let (Some(first), Some(last)) = (from.first(), from.last()) else {
            return;
        };
        self.bytes.extend_from_slice(bytes);
        self.spans.resize(self.bytes.len(), (first.0, last.1));
    }

    /// Undoes one round of escapes; none where nothing is escaped.
    fn unescaped(&self, escapes: &[u8]) -> Option<Self> {
        if !self.bytes.iter().any(|byte| escapes.contains(byte)) {
            return None;
        }
        let mut plain = Self::empty(self.of_base64);
        let mut at = 0;
        let mut changed = false;
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            let (length, meaning) = match escape(rest) {
                Some(found) if escapes.contains(&rest[0]) => {
                    changed = true;
                    found
                }
                _ => (1, Meaning::Byte(rest[0])),
            };
            let from = &self.spans[at..at + length];
            match meaning {
                Meaning::Byte(byte) => plain.push(&[byte], from),
                Meaning::Character(character) => {
                    plain.push(character.encode_utf8(&mut [0; 4]).as_bytes(), from);
                }
            }
            at += length;
        }
        changed.then_some(plain)
    }

    /// Decodes every run of base64's characters from its first, second, third or fourth character
    /// on: what is looked for can stand behind anything. Both alphabets are read; padding ends a
    /// run, and ends of lines do not.
    fn out_of_base64(&self, skipped: usize) -> Option<Self> {
        let mut decoded = Self::empty(true);
        let mut run: Vec<(u8, (u32, u32))> = Vec::new();
        let places = self.bytes.iter().zip(&self.spans);
        for (byte, &span) in places
            .map(|(&byte, span)| (byte, span))
            .chain([(0, &(0, 0))])
        {
            match sextet(byte) {
                Some(bits) => run.push((bits, span)),
                None if matches!(byte, b'\r' | b'\n') => {}
                None => {
                    if run.len() >= SHORTEST_RUN {
                        decode(&run[skipped..], &mut decoded);
                    }
                    run.clear();
                }
            }
        }
        (!decoded.bytes.is_empty()).then_some(decoded)
    }
}

enum Meaning {
    Byte(u8),
    Character(char),
}

/// Reads the escape that a text begins with, if it does, and its length in bytes.
fn escape(text: &[u8]) -> Option<(usize, Meaning)> {
    match text.first()? {
        b'%' => percent(text),
        b'\\' => backslash(text),
        b'&' => entity(text),
        _ => None,
    }
}

/// Reads an escape such as `%41`, or `%u0041` as old scripts write it.
fn percent(text: &[u8]) -> Option<(usize, Meaning)> {
    if let Some(b'u' | b'U') = text.get(1) {
        return utf16(text, 2);
    }
    let byte = u8::try_from(number(text.get(1..3)?, 16)?).ok()?;
    Some((3, Meaning::Byte(byte)))
}

/// Reads an escape of JSON (RFC 8259, section 7) or of scripts.
fn backslash(text: &[u8]) -> Option<(usize, Meaning)> {
    let character = match text.get(1)? {
        b'u' => return utf16(text, 2),
        b'x' => {
            let byte = u8::try_from(number(text.get(2..4)?, 16)?).ok()?;
            return Some((4, Meaning::Byte(byte)));
        }
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        other if other.is_ascii_punctuation() => char::from(*other),
        _ => return None,
    };
    Some((2, Meaning::Character(character)))
}

/// Reads four digits of a code unit behind a prefix, with a second such where the two are one
/// character.
fn utf16(text: &[u8], prefix: usize) -> Option<(usize, Meaning)> {
    let unit = |at: usize| number(text.get(at..at + 4)?, 16);
    let first = unit(prefix)?;
    let length = prefix + 4;
    if let Some(character) = char::from_u32(first) {
        return Some((length, Meaning::Character(character)));
    }
    if text.get(length..length + prefix)? != &text[..prefix] {
        return None;
    }
    let second = unit(length + prefix)?;
    let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((2 * length, Meaning::Character(character)))
}

/// Reads a numeric character reference, or one of the names that every escaper knows (HTML, section
/// 13.5).
fn entity(text: &[u8]) -> Option<(usize, Meaning)> {
    const NAMES: &[(&[u8], char)] = &[
        (b"amp", '&'),
        (b"apos", '\''),
        (b"gt", '>'),
        (b"lt", '<'),
        (b"nbsp", '\u{a0}'),
        (b"quot", '"'),
    ];
    /// The most digits of a character's number.
    const MOST_DIGITS: usize = 7;

    let ended = |length: usize| length + usize::from(text.get(length) == Some(&b';'));
    if text.get(1) != Some(&b'#') {
        let named = |name: &[u8]| text.get(1..=name.len()) == Some(name);
        let (name, character) = NAMES.iter().find(|(name, _)| named(name))?;
        return Some((ended(1 + name.len()), Meaning::Character(*character)));
    }
    let (start, radix) = match text.get(2)? {
        b'x' | b'X' => (3, 16),
        _ => (2, 10),
    };
    let digits = text[start..].iter().take(MOST_DIGITS);
    let digits = digits
        .take_while(|byte| char::from(**byte).is_digit(radix))
        .count();
    let code = number(&text[start..start + digits], radix)?;
    Some((
        ended(start + digits),
        Meaning::Character(char::from_u32(code)?),
    ))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| {
        Some(number * radix + char::from(digit).to_digit(radix)?)
    })
}

/// The six bits that a character of base64 stands for (RFC 4648, sections 4 and 5).
fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

/// Decodes a run of base64. Bits that make no whole byte are left; a byte stands for both
/// characters that it is of.
fn decode(run: &[(u8, (u32, u32))], into: &mut Reading) {
    for group in run.chunks(4) {
        for (pair, shift) in group.windows(2).zip([2, 4, 6]) {
            let [(high, first), (low, last)] = pair else {
                continue;
            };
            let byte = (high << shift) | (low >> (6 - shift));
            into.push(&[byte], &[*first, *last]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(text: &str) -> String {
        String::from_utf8_lossy(&without_escapes(text.as_bytes())).into_owned()
    }

    #[test]
    fn escapes_are_undone_round_by_round() {
        for (text, expected) in [
            ("plain", "plain"),
            ("%41%7a%7A", "Azz"),
            ("%2541", "A"),
            ("%C3%A4%u00e4", "ää"),
            (r"\u0041\u00e4\x42\xc3\xa4\/\n\ud83d\ude00", "AäBä/\n😀"),
            (r#"\\\"a\\\""#, r#""a""#),
            ("&#65;&#x42;&quot;&amp;#67;&nbsp;", "AB\"C\u{a0}"),
            // What is no escape stays.
            (
                "100% \\ & &# %4 %zz \\u12 \\q &#xD800; \\ud83d",
                "100% \\ & &# %4 %zz \\u12 \\q &#xD800; \\ud83d",
            ),
        ] {
            assert_eq!(last(text), expected, "{text}");
        }
    }

    #[test]
    fn base64_is_read_wherever_it_begins() {
        for (text, place) in [
            ("dXNlcjpwYXNzd29yZA==", 6..18),
            ("x dXNlcjpwYXNzd29yZA", 8..20),
            ("/dXNlcjpwYXNzd29yZA", 7..19),
            ("ab.dXNlcjpw\r\nYXNzd29yZA", 9..23),
            ("xyzdXNlcjpwYXNzd29yZA", 9..21),
        ] {
            let found = readings(text).into_iter().find_map(|reading| {
                let at = reading
                    .bytes
                    .windows(8)
                    .position(|part| part == b"password")?;
                Some(reading.span(at..at + 8))
            });
            assert_eq!(found, Some(place), "{text}");
        }
    }

    #[test]
    fn a_part_of_a_reading_knows_its_place() {
        let text = "ä%34\\u0031";
        let readings = readings(text);
        let reading = &readings[1];
        assert_eq!(reading.bytes, "ä41".as_bytes());
        assert_eq!(&text[reading.span(2..3)], "%34");
        assert_eq!(&text[reading.span(2..4)], "%34\\u0031");
        assert_eq!(reading.span(4..4), 0..0);
    }
}
