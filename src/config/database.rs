//! `[database]`: where the events and everything of Posthorn's stand.

use secrecy::{ExposeSecret, SecretString};

use super::document::Section;
use super::{secrets, value};
use crate::model::secret::{SecretError, SecretRef};

/// How to reach the database: the section `[database]`.
#[derive(Clone, Debug)]
pub struct Database {
    /// The database's URL, or where it is kept.
    pub url: DatabaseUrl,
    /// The most connections that one worker opens.
    pub max_connections: u32,
    /// Whether a pooler in transaction mode stands between Posthorn and the database.
    pub transaction_pooler: bool,
}

/// A `postgres://` URL, which may hold a password.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// The URL is kept elsewhere, and read when the worker connects.
    Kept(SecretRef),
    /// The URL stands in the file.
    Inline(SecretString),
}

/// Why there is no URL. The message shows nothing of one.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("{UNENCODED}")]
    Unencoded,
}

const UNENCODED: &str = "the database URL has an @ behind a /, ? or #, so that its password would be taken for \
     a host; write these characters of the password as %40, %2F, %3F and %23, and give one such as postgres://user:password@host:5432/database";

impl DatabaseUrl {
    /// Gives the URL, from where it is kept.
    pub fn read(&self) -> Result<SecretString, UrlError> {
        let url = match self {
            Self::Kept(reference) => secrets::read_text(reference)?,
            Self::Inline(url) => url.clone(),
        };
        check_encoding(&url)?;
        Ok(url)
    }
}

/// Refuses a URL whose password has `/`, `?` or `#` as they are: whoever writes that gets another
/// host than the one that was meant. An `@` alone does no harm: the last one ends the password.
pub fn check_encoding(url: &SecretString) -> Result<(), UrlError> {
    let url = url.expose_secret();
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let Some((authority, behind)) = rest.find(['/', '?', '#']).map(|at| rest.split_at(at)) else {
        return Ok(());
    };
    let Some(at) = behind.find('@') else {
        return Ok(());
    };
    let has_port = authority
        .rsplit_once(':')
        .is_none_or(|(_, port)| port.parse::<u16>().is_ok());
    // A parameter may have one.
    let in_a_parameter = has_port && behind[..at].contains('?');
    if authority.contains('@') || in_a_parameter {
        return Ok(());
    }
    Err(UrlError::Unencoded)
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::Kept(SecretRef::Env("DATABASE_URL".to_owned())),
            // A worker uses one for each of its loops and a few for bursts of batches;
            // many workers must fit beside the provider's own connections.
            max_connections: 10,
            transaction_pooler: false,
        }
    }
}

impl Database {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            url: section
                .read("url", |found| url(value::text(found)?))
                .unwrap_or(default.url),
            max_connections: section
                .whole("max_connections", 2..=1_000)
                .unwrap_or(default.max_connections),
            transaction_pooler: section
                .read("transaction_pooler", value::flag)
                .unwrap_or(default.transaction_pooler),
        }
    }
}

pub(super) fn url(text: String) -> Result<DatabaseUrl, String> {
    const REMEDY: &str = "give env:NAME, file:PATH or a postgres:// URL";
    if text.trim().is_empty() {
        return Err(format!("empty text; {REMEDY}"));
    }
    match SecretRef::parse(&text) {
        Some(SecretRef::Stored(_)) => {
            return Err(format!(
                "a secret in the database that it is to open; {REMEDY}"
            ));
        }
        Some(reference) => return Ok(DatabaseUrl::Kept(reference)),
        None => {}
    }
    if text.starts_with("env:") || text.starts_with("file:") {
        return Err(format!(
            "a reference without a legal name or path; {REMEDY}"
        ));
    }
    let url = text.into();
    check_encoding(&url).map_err(|error| error.to_string())?;
    Ok(DatabaseUrl::Inline(url))
}
