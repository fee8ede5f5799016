//! What is kept of an answer: its beginning, as text, without card numbers. Pure.

use bytes::Bytes;

/// How much of an answer's body is kept with the attempt, bytes.
const BODY_KEPT: usize = 2048;

/// Read beyond that, so that a card number that the cut goes through is seen whole, bytes.
const LOOK_AHEAD: usize = 64;

/// Primary account numbers have so many digits (ISO/IEC 7812-1).
const FEWEST_DIGITS: usize = 13;
const MOST_DIGITS: usize = 19;

/// Of a card number, so many digits may be shown (PCI DSS 4.0, requirement 3.4.1).
const DIGITS_SHOWN: usize = 4;

/// The beginning of a body as text that PostgreSQL takes: UTF-8 without NUL, cut between
/// characters. None for an empty one.
pub fn excerpt(body: &Bytes) -> Option<String> {
    let beginning = &body[..body.len().min(BODY_KEPT + LOOK_AHEAD)];
    let text = String::from_utf8_lossy(beginning).replace('\0', "\u{fffd}");
    let mut text = without_cards(&text);
    text.truncate(text.floor_char_boundary(BODY_KEPT));
    (!text.is_empty()).then_some(text)
}

/// The text with `*` for the digits of whatever looks like a card number, but the last four:
/// 13 to 19 digits that fulfil the Luhn formula, together or in groups.
pub fn without_cards(text: &str) -> String {
    let mut masked = text.as_bytes().to_vec();
    let groups = groups(text);
    for first in 0..groups.len() {
        let mut digits: Vec<usize> = Vec::with_capacity(MOST_DIGITS);
        for group in &groups[first..] {
            // A group belongs to those before it only if a single separator is between.
            if let Some(&last) = digits.last()
                && !is_separator(&text[last + 1..group.start])
            {
                break;
            }
            digits.extend(group.clone());
            if digits.len() > MOST_DIGITS {
                break;
            }
            if digits.len() >= FEWEST_DIGITS && is_luhn(text.as_bytes(), &digits) {
                for &at in &digits[..digits.len() - DIGITS_SHOWN] {
                    masked[at] = b'*';
                }
            }
        }
    }
    // Only digits were replaced, each by one other ASCII character.
    String::from_utf8(masked).unwrap_or_default()
}

/// The runs of digits, by their bytes.
fn groups(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in text
        .bytes()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_digit())
    {
        match groups.last_mut() {
            Some(group) if group.end == at => group.end += 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

/// As people write card numbers, and as forms encode the space.
fn is_separator(between: &str) -> bool {
    [" ", "-", ".", "+", "%20", "\u{a0}"].contains(&between)
}

/// ISO/IEC 7812-1, annex B.
fn is_luhn(text: &[u8], digits: &[usize]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &at)| {
            let digit = u32::from(text[at] - b'0');
            match place % 2 {
                0 => digit,
                _ => digit * 2 / 10 + digit * 2 % 10,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_text_that_the_database_takes() {
        for (body, expected) in [
            (&b""[..], None),
            (b"RECEIVED", Some("RECEIVED".to_owned())),
            (b"a\0b", Some("a\u{fffd}b".to_owned())),
            (b"\xff", Some("\u{fffd}".to_owned())),
        ] {
            assert_eq!(excerpt(&Bytes::from_static(body)), expected);
        }
        let long = Bytes::from("ä".repeat(5000) + "\u{0}");
        assert_eq!(excerpt(&long).map(|text| text.len()), Some(2048));
        let worst = Bytes::from(vec![0xff; 5000]);
        assert!(excerpt(&worst).is_some_and(|text| text.len() <= BODY_KEPT));
    }

    #[test]
    fn a_card_number_is_masked_however_it_is_written() {
        for (text, expected) in [
            ("4111111111111111", "************1111"),
            (
                "{\"pan\":\"4111 1111 1111 1111\"}",
                "{\"pan\":\"**** **** **** 1111\"}",
            ),
            ("378282246310005,", "***********0005,"),
            ("3782-822463-10005", "****-******-*0005"),
            (
                "card=5555+5555+5555+4444&x=1",
                "card=****+****+****+4444&x=1",
            ),
            ("4222222222222", "*********2222"),
            ("6304000000000000000", "***************0000"),
            ("ä4111.1111.1111.1111ä", "ä****.****.****.1111ä"),
            ("%B4111111111111111^DOE", "%B************1111^DOE"),
            // Beside other numbers.
            ("1 4111111111111111 2", "1 ************1111 2"),
            (
                "4111111111111111 5555555555554444",
                "************1111 ************4444",
            ),
        ] {
            assert_eq!(without_cards(text), expected);
        }
    }

    #[test]
    fn what_is_no_card_number_stays() {
        for text in [
            "4111111111111112",
            "411111111111",
            "41111111111111111111",
            "4111-1111 / 1111-1111",
            "8263a268-5388-492a-bca2-28e1ff4a69f0",
            "2026-03-01T12:00:00.000001Z",
            "",
        ] {
            assert_eq!(without_cards(text), text);
        }
    }

    #[test]
    fn a_card_number_at_the_cut_is_masked_too() {
        let body = "x".repeat(BODY_KEPT - 14) + "4111111111111111";
        let kept = excerpt(&Bytes::from(body));
        assert!(kept.is_some_and(|text| text.ends_with("x************11")));
    }
}
