//! How the names of a request's headers are written.

use std::sync::Arc;

use http::HeaderName;

/// How the names of a request's headers are written. HTTP takes no notice of the letters' case (RFC
/// 9110, section 5.1), but receivers do that look for one by its text. A name that somebody chose
/// is written as they wrote it, and every other one in `Title-Case`, which such receivers expect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling(Vec<Arc<str>>);

impl Spelling {
    /// Writes this header's name as it is spelled here from now on.
    pub fn keep(&mut self, written: impl Into<Arc<str>>) {
        self.0.push(written.into());
    }

    /// Writes the header's name behind what is there.
    pub fn write(&self, name: &HeaderName, to: &mut Vec<u8>) {
        let name = name.as_str();
        let chosen = self
            .0
            .iter()
            .find(|chosen| chosen.eq_ignore_ascii_case(name));
        match chosen {
            Some(chosen) => to.extend_from_slice(chosen.as_bytes()),
            None => write_title_case(name, to),
        }
    }
}

fn write_title_case(name: &str, to: &mut Vec<u8>) {
    let mut first = true;
    to.extend(name.bytes().map(|letter| {
        let written = if first {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        first = letter == b'-';
        written
    }));
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
            let mut there = Vec::new();
            spelling.write(&name, &mut there);
            assert_eq!(String::from_utf8_lossy(&there), written);
        }
    }
}
