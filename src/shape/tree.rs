//! The published JSON as a tree that loses nothing.

use std::borrow::Cow;

/// A value of the published JSON, and its text in the source.
#[derive(Debug)]
pub struct Json<'a> {
    pub raw: &'a str,
    pub kind: Kind<'a>,
}

#[derive(Debug)]
pub enum Kind<'a> {
    Null,
    Bool(bool),
    /// A number as it was written: `1234.50` and `1e400` stay so.
    Number(&'a str),
    Text(Quoted<'a>),
    List(Vec<Json<'a>>),
    /// An object in the order of the source, repeated keys included.
    Object(Vec<(Quoted<'a>, Json<'a>)>),
}

/// A string of the source, without its quotes and with its escapes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl<'a> Json<'a> {
    /// Finds what an RFC 6901 pointer names; of repeated keys the last, as everywhere.
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut here = self;
        for token in pointer.strip_prefix('/')?.split('/') {
            here = match &here.kind {
                Kind::Object(members) => {
                    let key = unescape_token(token);
                    let (_, value) = members.iter().rev().find(|(name, _)| name.is(&key))?;
                    value
                }
                Kind::List(items) => items.get(index(token)?)?,
                _ => return None,
            };
        }
        Some(here)
    }

    /// Gives the value as one piece of text; `null` is empty. None for an object or a list.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match &self.kind {
            Kind::Null => Some(Cow::Borrowed("")),
            Kind::Bool(true) => Some(Cow::Borrowed("true")),
            Kind::Bool(false) => Some(Cow::Borrowed("false")),
            Kind::Number(number) => Some(Cow::Borrowed(number)),
            Kind::Text(quoted) => Some(quoted.text()),
            Kind::List(_) | Kind::Object(_) => None,
        }
    }
}

fn unescape_token(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        // In this order, so that `~01` is `~1` (RFC 6901, section 4).
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// Reads the index of a list: digits without leading zeros.
fn index(token: &str) -> Option<usize> {
    let is_plain = token.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = token.len() > 1 && token.starts_with('0');
    if is_plain && !has_leading_zero {
        token.parse().ok()
    } else {
        None
    }
}

impl<'a> Quoted<'a> {
    /// Gives the characters that the escapes stand for; half of a surrogate pair, which is no
    /// character, becomes U+FFFD.
    pub fn text(self) -> Cow<'a, str> {
        if !self.0.contains('\\') {
            return Cow::Borrowed(self.0);
        }
        let characters = self.characters();
        Cow::Owned(
            characters
                .map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
        )
    }

    /// Gives each character, or the half of a surrogate pair that stands alone.
    pub fn characters(self) -> impl Iterator<Item = Result<char, u16>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let (character, length) = match rest.strip_prefix('\\') {
                Some(escape) => unescape(escape),
                None => (Ok(first), first.len_utf8()),
            };
            // The backslash is one byte.
            let length = length + usize::from(first == '\\');
            rest = rest.get(length..).unwrap_or_default();
            Some(character)
        })
    }

    fn is(self, text: &str) -> bool {
        *self.text() == *text
    }
}

/// Reads the character of an escape whose backslash is gone, and the escape's length.
fn unescape(escape: &str) -> (Result<char, u16>, usize) {
    let simple = match escape.as_bytes().first() {
        Some(b'u') => return unescape_unicode(&escape[1..]),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        // A quote, a slash or a backslash; the parser let nothing else through.
        other => char::from(other.copied().unwrap_or(b'\\')),
    };
    (Ok(simple), 1)
}

/// Reads the character of an escape `\u0000` whose backslash is gone, and the escape's length.
fn unescape_unicode(digits: &str) -> (Result<char, u16>, usize) {
    const LENGTH: usize = "u0000".len();
    let unit = |digits: Option<&str>| u16::from_str_radix(digits?.get(..4)?, 16).ok();
    // The parser let through what has four digits.
    let first = unit(Some(digits)).unwrap_or_default();
    // A second escape belongs to the first if the two are a surrogate pair.
    let second = unit(digits.get(4..).and_then(|rest| rest.strip_prefix("\\u")));
    let mut pair = char::decode_utf16([first].into_iter().chain(second));
    match pair.next() {
        Some(Ok(character)) if character.len_utf16() == 2 => {
            (Ok(character), LENGTH + "\\".len() + LENGTH)
        }
        Some(Ok(character)) => (Ok(character), LENGTH),
        _ => (Err(first), LENGTH),
    }
}
