//! What the private cluster is told in its `postgresql.conf`.

use std::fmt::Write;

/// Settings beyond PostgreSQL's own defaults. The default commits as durably as a
/// production server does, so that a bench measures what a provider would see.
#[derive(Clone, Debug)]
pub struct Settings {
    options: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        let nothing = Self { options: vec![] };
        nothing
            .with("fsync", "on")
            .with("synchronous_commit", "on")
            .with("max_connections", "200")
    }
}

impl Settings {
    /// Settings for tests, which lose nothing when the machine loses power.
    #[must_use]
    pub fn fast() -> Self {
        Self::default()
            .with("fsync", "off")
            .with("full_page_writes", "off")
    }

    /// Adds one setting of `postgresql.conf`; a later one of the same name wins.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the lines for `postgresql.conf`. Where the server listens is not the caller's choice:
    /// TCP on the loopback address only, because a socket's path may be longer than the 107 bytes
    /// that the kernel takes.
    pub(super) fn to_conf(&self, port: u16) -> String {
        let mut conf = String::new();
        let port = port.to_string();
        let fixed = [
            ("listen_addresses", "127.0.0.1"),
            ("port", port.as_str()),
            ("unix_socket_directories", ""),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
        ];
        let options = self.options.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        for (name, value) in options.chain(fixed) {
            let value = value.replace('\\', r"\\").replace('\'', "''");
            // Writing to a String cannot fail.
            let _ = writeln!(conf, "{name} = '{value}'");
        }
        conf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_and_the_listening_address_is_not_for_the_caller() {
        let conf = Settings::fast()
            .with("log_line_prefix", r"it's \d ")
            .with("port", "5432")
            .to_conf(4711);
        assert!(
            conf.contains("log_line_prefix = 'it''s \\\\d '\n"),
            "{conf}"
        );
        assert!(conf.rfind("port = '4711'") > conf.rfind("port = '5432'"));
        assert!(conf.rfind("fsync = 'off'") > conf.rfind("fsync = 'on'"));
    }
}
