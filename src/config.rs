//! The configuration file: TOML, one struct per section, every problem told at once.
//!
//! `config.toml.example` documents every key. Only the composition root sees the whole
//! [`Config`]; each room is given its own section.

mod bases;
mod builtin;
mod database;
mod declare;
mod document;
mod egress;
mod entry;
mod gateway;
mod http;
mod instamed;
mod keys;
mod lanes;
mod log;
mod maintenance;
mod nearest;
pub mod secrets;
mod settings;
mod subscriptions;
#[cfg(test)]
mod tests;
pub mod text;
mod value;
mod worker;
mod written;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bases::Bases;
pub use database::{Database, DatabaseUrl, check_encoding};
use document::{Document, Section};
pub use egress::{Egress, NAT64_LENGTHS};
pub use entry::{FileLock, FileProfile, FileSubscription};
pub use gateway::Gateway;
pub use http::Http;
pub use keys::{Secrets, UnusableKey};
pub use lanes::Lanes;
pub use log::{Log, LogFormat};
pub use maintenance::Maintenance;
use subscriptions::Entries;
pub use worker::Worker;
pub use written::Written;

use crate::model::declaration::Entry;

/// The whole configuration file. An absent section or key has its default.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The owner on whose behalf the file declares profiles, locks and subscriptions.
    pub owner: Option<String>,
    /// The section `[database]`.
    pub database: Database,
    /// The section `[worker]`.
    pub worker: Worker,
    /// The section `[lanes]`.
    pub lanes: Lanes,
    /// The section `[egress]`.
    pub egress: Egress,
    /// The section `[secrets]`.
    pub secrets: Secrets,
    /// The section `[http]`.
    pub http: Http,
    /// The section `[gateway]`.
    pub gateway: Gateway,
    /// The section `[log]`.
    pub log: Log,
    /// The section `[maintenance]`.
    pub maintenance: Maintenance,
    /// The sections `[[profile]]`.
    pub profiles: Vec<FileProfile>,
    /// The sections `[[lock]]`.
    pub locks: Vec<FileLock>,
    /// The sections `[[subscription]]`, checked, each together with its profile and locks; only
    /// their secrets are still unread.
    pub subscriptions: Vec<FileSubscription>,
}

impl Config {
    /// Reads the file at this path.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = text::read(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads the text of a configuration. `name` is what messages call it, such as its path.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let document = Document::new(text);
        let config = document.read(Self::read);
        let problems = document.into_problems();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Refused {
                name: name.to_owned(),
                problems,
            }),
        }
    }

    fn read(file: &mut Section<'_>) -> Self {
        let entries = Entries::read(file);
        Self {
            owner: file.read("owner", value::owner),
            database: file.table("database", Database::read),
            worker: file.table("worker", Worker::read),
            lanes: file.table("lanes", Lanes::read),
            egress: file.table("egress", Egress::read),
            secrets: file.table("secrets", Secrets::read),
            http: file.table("http", Http::read),
            gateway: file.table("gateway", Gateway::read),
            log: file.table("log", Log::read),
            maintenance: file.table("maintenance", Maintenance::read),
            profiles: entries.profiles,
            locks: entries.locks,
            subscriptions: entries.subscriptions,
        }
    }

    /// The profiles, of the file and built-in, and the locks, from which subscriptions get their
    /// layers.
    fn bases(&self) -> Bases<'_> {
        Bases::of(&self.profiles, &self.locks)
    }
}

/// The profiles that come with Posthorn, as the rows that `posthorn migrate` writes.
#[must_use]
pub fn builtin_profiles() -> Vec<Entry> {
    builtin::profiles().iter().map(Entry::from).collect()
}

/// Why there is no configuration. Each message tells the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}; give the path of a configuration, or start from config.toml.example", path.display())]
    Unreadable {
        /// The file's path.
        path: PathBuf,
        /// Why the system refused to read it.
        source: io::Error,
    },
    /// The file has problems.
    #[error("{}", listing(name, problems))]
    Refused {
        /// What messages call the file.
        name: String,
        /// The problems by line; never empty.
        problems: Vec<Problem>,
    },
}

/// One thing to put right in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, from 1.
    pub line: usize,
    /// The setting, as `section.key`; empty where the text is not TOML.
    pub key: String,
    /// What was found, by its shape, and the remedy; never a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.key.is_empty() {
            write!(f, ", {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

fn listing(name: &str, problems: &[Problem]) -> String {
    let count = match problems {
        [_] => "1 problem".to_owned(),
        _ => format!("{} problems", problems.len()),
    };
    let lines = problems.iter().map(|problem| format!("\n  {problem}"));
    format!("{name} has {count}:{}", lines.collect::<String>())
}
