//! How the names of a request's headers are written.

use std::borrow::Cow;

use http::HeaderName;

/// How the names of a request's headers are written. HTTP takes no notice of the letters' case (RFC
/// 9110, section 5.1), but receivers do that look for one by its text. A name that somebody chose
/// is written as they wrote it, and every other one in `Title-Case`, which such receivers expect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling(Vec<Box<str>>);

impl Spelling {
    /// Writes this header's name as it is spelled here from now on.
    pub fn keep(&mut self, written: &str) {
        self.0.push(written.into());
    }

    /// How the header's name is written.
    #[must_use]
    pub fn of(&self, name: &HeaderName) -> Cow<'_, str> {
        let chosen = self
            .0
            .iter()
            .find(|chosen| chosen.eq_ignore_ascii_case(name.as_str()));
        match chosen {
            Some(chosen) => Cow::Borrowed(chosen),
            None => Cow::Owned(title_case(name.as_str())),
        }
    }
}

fn title_case(name: &str) -> String {
    let mut first = true;
    let letters = name.chars().map(|letter| {
        let written = if first {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        first = letter == '-';
        written
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_name_is_written_as_it_was_chosen() {
        let mut spelling = Spelling::default();
        for chosen in ["HMAC-Random-Key", "webhook-id", "X_old-STYLE"] {
            spelling.keep(chosen);
        }
        for (name, written) in [
            ("hmac-random-key", "HMAC-Random-Key"),
            ("webhook-id", "webhook-id"),
            ("x_old-style", "X_old-STYLE"),
            ("content-type", "Content-Type"),
            ("x-1st--a", "X-1st--A"),
            ("te", "Te"),
        ] {
            let name = HeaderName::from_static(name);
            assert_eq!(spelling.of(&name), written);
        }
    }
}
