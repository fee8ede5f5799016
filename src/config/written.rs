//! What a file said at a process's start, beside what it says now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use toml::{Table, Value};

/// The sections and keys that count anew when the file is read again.
const DECLARED: [&str; 4] = ["owner", "profile", "lock", "subscription"];

/// The settings that count from a start, by `section.key`, as they are written.
#[derive(Clone, Default)]
pub struct Written(BTreeMap<String, Value>);

impl Written {
    /// Reads the settings of a file: nothing where it cannot be read, which whoever loads it is
    /// told.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut written = BTreeMap::new();
        for (section, value) in text.parse::<Table>().unwrap_or_default() {
            match value {
                _ if DECLARED.contains(&section.as_str()) => {}
                Value::Table(keys) => {
                    let keys = keys.into_iter();
                    written.extend(keys.map(|(key, value)| (format!("{section}.{key}"), value)));
                }
                value => {
                    written.insert(section, value);
                }
            }
        }
        Self(written)
    }

    /// The keys that one of the two files has and the other has not, or not with the same value.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let differs = keys
            .into_iter()
            .filter(|&key| self.0.get(key) != other.0.get(key));
        differs.cloned().collect()
    }
}

/// Leaves out the values: a URL may hold a password.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_count_from_a_start_are_compared() {
        let running = Written::parse(
            "owner = 'a'\n[worker]\nlease = '10s'\ngrace = '5s'\n[database]\nurl = 'postgres://u:hunter2@h/d'\n\
             [[egress.proxy_pool]]\nname = 'dmz'\n[[subscription]]\nname = 'a'\n",
        );
        let now = Written::parse(
            "owner = 'b'\n[worker]\nlease = '20s'\ngrace = '5s'\n[http]\nlisten = 'x'\n[database]\nurl = 'postgres://u:hunter2@h/d'\n\
             [[egress.proxy_pool]]\nname = 'other'\n[[subscription]]\nname = 'b'\n",
        );
        assert_eq!(
            running.differences(&now),
            ["egress.proxy_pool", "http.listen", "worker.lease"]
        );
        assert_eq!(running.differences(&running), Vec::<String>::new());
        assert!(!format!("{running:?}").contains("hunter2"));
    }
}
