//! Why something was not published.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

const GRANT: &str = "The schema's owner can allow it: posthorn grant --publisher ROLE.";
const MIGRATE: &str = "Run posthorn migrate on this database.";

/// An error is why something was not done; what the database says of it is kept in its own words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was given is not JSON, or cannot be written as JSON. The database was not asked.
    #[error("the {what} cannot be sent as JSON: {reason}")]
    NotJson {
        /// What it was: `data` or `subscriptions`.
        what: &'static str,
        /// What `serde_json` says of it.
        reason: serde_json::Error,
    },
    /// The schema refuses what was given, and would refuse it again.
    #[error("{0}")]
    Refused(Refusal),
    /// The role lacks a right: it needs `posthorn grant --publisher`, or may not publish for this
    /// merchant.
    #[error("{0}")]
    NotAllowed(Refusal),
    /// The database has no schema `posthorn`, or an older one: it needs `posthorn migrate`.
    #[error("{0}")]
    NotInstalled(Refusal),
    /// Anything else that came between: the connection, the pool, another error of PostgreSQL.
    #[error(transparent)]
    Database(sqlx::Error),
}

/// A refusal is an error of PostgreSQL as it says it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// What is wrong, without a value of the payload.
    pub message: String,
    /// The remedy, where there is one to name.
    pub hint: Option<String>,
    /// The SQLSTATE, such as `23514`.
    pub code: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let said = error
            .as_database_error()
            .and_then(|said| said.try_downcast_ref::<PgDatabaseError>());
        let Some(said) = said else {
            return Self::Database(error);
        };
        let code = said.code();
        let refused = |remedy: Option<&str>| Refusal {
            message: said.message().to_owned(),
            hint: said.hint().or(remedy).map(str::to_owned),
            code: code.to_owned(),
        };
        match code {
            "42501" => Self::NotAllowed(refused(Some(GRANT))),
            // No such schema, table or function.
            "3F000" | "42P01" | "42883" => Self::NotInstalled(refused(Some(MIGRATE))),
            // No such template, or several.
            "42704" | "42P09" => Self::Refused(refused(None)),
            // Values that no column takes, and constraints.
            _ if code.starts_with("22") || code.starts_with("23") => Self::Refused(refused(None)),
            _ => Self::Database(error),
        }
    }
}
