//! Anybody's text within a line of ours.

use std::fmt::{self, Display, Write};

/// The text on one line: it neither ends the line, nor drives a terminal, nor turns the rest of
/// the line around.
pub struct OneLine<'a>(pub &'a str);

impl OneLine<'_> {
    /// Whether a character of the text is written as an escape.
    #[must_use]
    pub fn escapes(character: char) -> bool {
        character.is_control() || is_formatting(character)
    }
}

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if Self::escapes(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Whether the character separates lines or paragraphs, sets the direction of text, or is not seen
/// at all (Unicode 17.0, section 23.2; UAX 9, section 2).
const fn is_formatting(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}
