//! Text files as editors leave them: with a byte order mark or without.

use std::io;
use std::path::Path;

const UTF_8: &[u8] = "\u{feff}".as_bytes();

/// Reads a file of text in UTF-8, or in UTF-16 that says so by its byte order mark, which is no
/// part of the text.
pub fn read(path: &Path) -> io::Result<String> {
    decode(&std::fs::read(path)?).ok_or_else(|| {
        let remedy = "it is neither UTF-8 nor UTF-16 with a byte order mark; save it as UTF-8";
        io::Error::new(io::ErrorKind::InvalidData, remedy)
    })
}

/// A secret's bytes without the mark that an editor put before them.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(UTF_8).unwrap_or(bytes)
}

fn decode(bytes: &[u8]) -> Option<String> {
    let utf_16 = |pairs: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = pairs.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        rest.is_empty().then(|| String::from_utf16(&units).ok())?
    };
    match bytes {
        [0xFF, 0xFE, text @ ..] => utf_16(text, u16::from_le_bytes),
        [0xFE, 0xFF, text @ ..] => utf_16(text, u16::from_be_bytes),
        _ => String::from_utf8(without_mark(bytes).to_vec()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_how_the_text_is_written_and_is_no_part_of_it() {
        for (bytes, expected) in [
            (&b"a = 1"[..], Some("a = 1")),
            (b"\xEF\xBB\xBFa\xC3\xA9", Some("aé")),
            (b"\xFF\xFEa\0\xE9\0", Some("aé")),
            (b"\xFE\xFF\0a\0\xE9", Some("aé")),
            (b"\xFF\xFEa", None),
            (b"a\xE9", None),
            (b"", Some("")),
        ] {
            assert_eq!(decode(bytes).as_deref(), expected, "{bytes:?}");
        }
    }
}
