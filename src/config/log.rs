//! `[log]`: what the worker writes to standard error.

use tracing::Level;

use super::document::Section;

/// What is logged, and in which form: the section `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: Level,
}

/// The form of a log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: Level::INFO,
        }
    }
}

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            format: section
                .choice(
                    "format",
                    &[("text", LogFormat::Text), ("json", LogFormat::Json)],
                )
                .unwrap_or(default.format),
            level: section
                .choice(
                    "level",
                    &[
                        ("error", Level::ERROR),
                        ("warn", Level::WARN),
                        ("info", Level::INFO),
                        ("debug", Level::DEBUG),
                        ("trace", Level::TRACE),
                    ],
                )
                .unwrap_or(default.level),
        }
    }
}
