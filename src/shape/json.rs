//! The published JSON as a tree that loses nothing, and the writing of mapped objects.

use std::borrow::Cow;
use std::fmt::Write;

use super::fields::{Member, Value};

/// A value and its text in the source.
#[derive(Debug)]
pub struct Json<'a> {
    pub raw: &'a str,
    pub kind: Kind<'a>,
}

#[derive(Debug)]
pub enum Kind<'a> {
    Null,
    Bool(bool),
    /// As it was written: `1234.50` and `1e400` stay so.
    Number(&'a str),
    Text(Quoted<'a>),
    List(Vec<Json<'a>>),
    /// In the order of the source, repeated keys included.
    Object(Vec<(Quoted<'a>, Json<'a>)>),
}

/// A string of the source, without its quotes and with its escapes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl<'a> Json<'a> {
    /// What an RFC 6901 pointer names; of repeated keys the last, as everywhere.
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

    /// The value as one piece of text; `null` is empty. None for an object or a list.
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

/// Digits without leading zeros.
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
    /// The characters that the escapes stand for; half of a surrogate pair, which is
    /// no character, becomes U+FFFD.
    pub fn text(self) -> Cow<'a, str> {
        let Some(first) = self.0.find('\\') else {
            return Cow::Borrowed(self.0);
        };
        let mut text = String::with_capacity(self.0.len());
        text.push_str(&self.0[..first]);
        let mut rest = &self.0[first..];
        while let Some(escape) = rest.strip_prefix('\\') {
            let (character, length) = unescape(escape);
            text.push(character);
            rest = &escape[length..];
            let plain = rest.find('\\').unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            rest = &rest[plain..];
        }
        Cow::Owned(text)
    }

    /// Whether every escape stands for a character: no half of a surrogate pair is alone.
    pub fn is_whole(self) -> bool {
        let mut rest = self.0;
        while let Some((_, escape)) = rest.split_once('\\') {
            let (character, length) = unescape(escape);
            // U+FFFD itself may have been published, as an escape too.
            if character == char::REPLACEMENT_CHARACTER && !is_replacement(escape) {
                return false;
            }
            rest = &escape[length..];
        }
        true
    }

    fn is(self, text: &str) -> bool {
        *self.text() == *text
    }
}

fn is_replacement(escape: &str) -> bool {
    escape
        .get(.."ufffd".len())
        .is_some_and(|escape| escape.eq_ignore_ascii_case("ufffd"))
}

/// The character of an escape whose backslash is gone, and the escape's length.
fn unescape(escape: &str) -> (char, usize) {
    let simple = match escape.as_bytes().first() {
        Some(b'u') => return unescape_unicode(escape),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        // A quote, a slash or a backslash; the parser let nothing else through.
        Some(&other) => char::from(other),
        None => return (char::REPLACEMENT_CHARACTER, 0),
    };
    (simple, 1)
}

fn unescape_unicode(escape: &str) -> (char, usize) {
    const LENGTH: usize = "u0000".len();
    let unit = |at: usize| {
        let digits = escape.get(at..at + 4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(1);
    // A second escape belongs to the first if the two are a surrogate pair.
    let second = escape
        .get(LENGTH..)
        .filter(|rest| rest.starts_with("\\u"))
        .and_then(|_| unit(LENGTH + 2));
    let mut pair = char::decode_utf16(first.into_iter().chain(second));
    match pair.next() {
        Some(Ok(character)) if character.len_utf16() == 2 => (character, LENGTH + 1 + LENGTH),
        Some(Ok(character)) => (character, LENGTH),
        _ => (char::REPLACEMENT_CHARACTER, LENGTH.min(escape.len())),
    }
}

/// The members as one object. What was published is copied as it stands.
pub fn write_object(members: &[Member<'_>]) -> String {
    let mut out = String::with_capacity(32 * (members.len() + 1));
    for (position, member) in members.iter().enumerate() {
        out.push(if position == 0 { '{' } else { ',' });
        write_text(&mut out, &member.name);
        out.push(':');
        match &member.value {
            Value::Text(text) => write_text(&mut out, text),
            Value::Number(digits) => out.push_str(digits),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Json(json) => out.push_str(json.raw),
        }
    }
    if members.is_empty() {
        out.push('{');
    }
    out.push('}');
    out
}

pub fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}
