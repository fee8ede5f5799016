//! How the characters of a form or of XML become bytes.

use std::borrow::Cow;

/// The encoding of a request body's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, which has every character.
    #[default]
    Utf8,
    /// ISO 8859-1, one byte for each of its 256 characters.
    Latin1,
    /// windows-1252, which has printable characters in the place of Latin-1's control characters.
    Windows1252,
}

/// What windows-1252 has in the place of Latin-1's control characters, from 0x80 on; where it
/// has nothing, U+FFFD.
const WINDOWS_1252: &[char; 32] = &[
    '€', '\u{FFFD}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{FFFD}', 'Ž',
    '\u{FFFD}', '\u{FFFD}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{FFFD}',
    'ž', 'Ÿ',
];

/// The byte of the first character in [`WINDOWS_1252`].
const OTHER: u8 = 0x80;

impl Charset {
    /// The charset's name as a content type and an XML declaration have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Latin1 => "iso-8859-1",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// Whether the charset can express the character.
    #[must_use]
    pub fn has(self, character: char) -> bool {
        self == Self::Utf8 || self.byte(character).is_some()
    }

    /// The text in this charset; `?` stands for what it does not have.
    #[must_use]
    pub fn encode(self, text: &str) -> Cow<'_, [u8]> {
        if self == Self::Utf8 || text.is_ascii() {
            return Cow::Borrowed(text.as_bytes());
        }
        let bytes = text.chars().map(|it| self.byte(it).unwrap_or(b'?'));
        Cow::Owned(bytes.collect())
    }

    /// The byte of a character, in a charset of single bytes; none where it has no such character.
    fn byte(self, character: char) -> Option<u8> {
        match u8::try_from(character) {
            Ok(byte) if self.character(byte) == character => Some(byte),
            _ if self == Self::Latin1 || character == char::REPLACEMENT_CHARACTER => None,
            _ => (OTHER..)
                .zip(WINDOWS_1252)
                .find(|(_, it)| **it == character)
                .map(|(byte, _)| byte),
        }
    }

    /// The text of bytes in a charset that has one byte for each of its characters.
    #[must_use]
    pub fn character(self, byte: u8) -> char {
        let other = byte
            .checked_sub(OTHER)
            .and_then(|at| WINDOWS_1252.get(usize::from(at)));
        match other {
            Some(other) if self == Self::Windows1252 => *other,
            _ => char::from(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_has_its_byte_or_none() {
        for (charset, text, bytes) in [
            (Charset::Latin1, "Jörg ÿ", &b"J\xF6rg \xFF"[..]),
            (
                Charset::Windows1252,
                "5 € – „Jörg“",
                b"5 \x80 \x96 \x84J\xF6rg\x93",
            ),
            (Charset::Windows1252, "Ÿ", b"\x9F"),
        ] {
            assert_eq!(charset.encode(text), bytes, "{text}");
            let read: String = bytes.iter().map(|it| charset.character(*it)).collect();
            assert_eq!(read, text);
        }
        for (charset, unfit) in [
            (Charset::Latin1, '€'),
            (Charset::Latin1, '\u{FFFD}'),
            (Charset::Windows1252, 'ł'),
            (Charset::Windows1252, '\u{FFFD}'),
            // The control character that Latin-1 has where windows-1252 has the euro.
            (Charset::Windows1252, '\u{80}'),
        ] {
            assert!(!charset.has(unfit), "{unfit}");
            assert_eq!(charset.encode(&unfit.to_string()), &b"?"[..]);
        }
        assert!(Charset::Utf8.has('€') && Charset::Latin1.has('\u{80}'));
    }
}
