//! Where a secret is kept. The secret itself never stands in a setting.

use std::fmt;
use std::io;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// Where a secret is kept: `env:NAME`, `file:PATH` or `secret:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable of this process.
    Env(String),
    /// A file that this process can read.
    File(PathBuf),
    /// A row of `posthorn.secrets`, by its name, of the merchant whose subscription names it.
    Stored(String),
}

/// The longest name of a stored secret, in characters.
const LONGEST_NAME: usize = 128;

/// Whether a stored secret may have this name: ASCII letters, digits, `.`, `_` and `-`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl SecretRef {
    /// The reference that a text spells, or none where it is not one. The text may then be the
    /// secret itself, put where its reference belongs: do not show it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // A NUL or `=` in a name, and a NUL in a path, name nothing that can exist.
        if let Some(name) = text.strip_prefix("env:") {
            let valid = !name.is_empty()
                && name
                    .chars()
                    .all(|c| c != '=' && !c.is_control() && !c.is_whitespace());
            return valid.then(|| Self::Env(name.to_owned()));
        }
        if let Some(name) = text.strip_prefix("secret:") {
            return is_name(name).then(|| Self::Stored(name.to_owned()));
        }
        let path = text.strip_prefix("file:")?;
        let valid = !path.is_empty() && !path.chars().any(char::is_control);
        valid.then(|| Self::File(PathBuf::from(path)))
    }

    /// The reference that a text spells to a secret outside of the database, for what opens the
    /// database and so cannot stand in it.
    #[must_use]
    pub fn parse_outside(text: &str) -> Option<Self> {
        Self::parse(text).filter(|reference| !matches!(reference, Self::Stored(_)))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Stored(name) => write!(f, "secret:{name}"),
        }
    }
}

/// Why a secret could not be had. Names the place, never the content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable of this name is not set.
    #[error("the environment variable {0} is not set; set it for the worker's process")]
    NotSet(String),
    /// The file cannot be read.
    #[error(
        "the file {} cannot be read: {kind}; check that it is there and that the worker's user may read it",
        path.display()
    )]
    Unreadable {
        /// The file's path.
        path: PathBuf,
        /// Why the system refused to read it.
        kind: io::ErrorKind,
    },
    /// There is nothing at the reference.
    #[error("{0} is empty; put the secret into it")]
    Empty(SecretRef),
    /// There are more bytes at the reference than a secret may have.
    #[error("{0} holds more than {1} bytes; point to the secret alone")]
    TooLarge(SecretRef, u64),
    /// The secret must be text, and is not UTF-8.
    #[error("{0} is not UTF-8 text; put the secret into it as text")]
    NotText(SecretRef),
    /// The merchant has no stored secret of this name.
    #[error(
        "posthorn.secrets has no {0} of this merchant; give it one with `posthorn secrets set`"
    )]
    NotStored(String),
    /// The stored secret is encrypted with a key that this process lacks.
    #[error(
        "secret:{name} is encrypted with key {key_id}, which this process does not have; add that key to secrets.keys"
    )]
    NoKey {
        /// The secret's name.
        name: String,
        /// The id of the missing key.
        key_id: String,
    },
    /// The stored secret of this name does not open with its key.
    #[error(
        "secret:{0} does not open: its row was changed outside of Posthorn or is damaged; set it anew with `posthorn secrets set`"
    )]
    Tampered(String),
    /// The reference names a stored secret, and there is no database to read it from.
    #[error("{0} is kept in the database, which is not at hand here; give env:NAME or file:PATH")]
    OutOfReach(SecretRef),
}

/// A way to fetch what a reference points to: [`crate::config::secrets::read`] from the environment
/// and from files, [`crate::vault::Opener`] from the database too.
pub type ReadSecret<'a> = dyn Fn(&SecretRef) -> Result<SecretSlice<u8>, SecretError> + 'a;

/// Takes the bytes of a secret that must be text, such as a password or a URL.
pub fn as_text(from: &SecretRef, bytes: &SecretSlice<u8>) -> Result<SecretString, SecretError> {
    std::str::from_utf8(bytes.expose_secret())
        .map(SecretString::from)
        .map_err(|_| SecretError::NotText(from.clone()))
}
