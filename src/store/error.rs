//! Why the database did not do what was asked, and what callers do something else about.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgQueryResult};

use super::remedy::{code, refuses, remedy};

/// Why the database did not do what was asked. No other error of the database leaves the store;
/// the codes behind the variants are of PostgreSQL's documentation, appendix A, and stand in
/// this room alone.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away or at its limits, or another session stood in the way: the same may
    /// be done the next time.
    #[error("the database refused: {0}")]
    Away(Cause),
    /// The database does not let this process in, or the URL leads to none: no waiting helps.
    #[error("the database refused: {0}")]
    Refused(Cause),
    /// The session's role may not do what was asked.
    #[error("the database refused: {0}")]
    Forbidden(Cause),
    /// A row of this key is there already.
    #[error("the database refused: {0}")]
    Repeated(Cause),
    /// The rows that were given are at fault, not the connection or the server: a value or a
    /// constraint, a limit, or somebody's own trigger that raises.
    #[error("the database refused: {0}")]
    OfTheRows(Cause),
    /// The database says no to the statement itself, and says so again.
    #[error("the database refused: {0}")]
    Impossible(Cause),
    /// The connection hangs: a partition, a stopped server. Nothing is known of the
    /// statement's fate.
    #[error("the database did not answer within {0:?}")]
    Stalled(Duration),
    /// A value that only Posthorn writes does not have its form.
    #[error("{0} in the database has a form that this version does not know")]
    Unreadable(&'static str),
    /// The schema was made anew, or restored, under a session that was open.
    #[error("another database is where this one was")]
    Replaced,
    /// A statement met another number of rows than it had to, and was taken back.
    #[error(
        "of {expected} {rows} that were to change, the database changed {met}, and this was taken \
         back: a trigger, or somebody else at the same moment, stands in the way"
    )]
    Unmet {
        /// What the rows are.
        rows: &'static str,
        /// How many of them there were a moment before.
        expected: u64,
        /// How many of them were changed.
        met: u64,
    },
}

/// What the driver or the server says.
///
/// In their words alone: the driver adds the line of PostgreSQL's own source that they come
/// from, which reads like a line of the statement. It is no further cause of its error either,
/// since it would be told so again.
#[derive(Debug)]
pub struct Cause(sqlx::Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            sqlx::Error::Database(error) => f.write_str(error.message()),
            other => other.fmt(f),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = code(&error).unwrap_or_default();
        let kind: fn(Cause) -> Self = match &*code {
            "42501" => Self::Forbidden,
            _ if refuses(&error) => Self::Refused,
            "23505" => Self::Repeated,
            code if is_of_the_rows(code) => Self::OfTheRows,
            code if is_final(code) => Self::Impossible,
            _ => Self::Away,
        };
        kind(Cause(error))
    }
}

impl StoreError {
    /// Whether the session's role may not do what was asked.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden(_))
    }

    /// Whether a row of this key is there already.
    #[must_use]
    pub fn is_repetition(&self) -> bool {
        matches!(self, Self::Repeated(_))
    }

    /// Whether the rows are at fault, and others could be written. A repetition is no fault.
    #[must_use]
    pub fn is_of_the_rows(&self) -> bool {
        matches!(self, Self::OfTheRows(_))
    }

    /// Whether the database does not let this process do anything: no waiting helps.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Forbidden(_))
    }

    /// Whether the database says no to what was asked, so that it says so again: neither is
    /// it away or at its limits, nor did another session stand in the way.
    #[must_use]
    pub fn is_final(&self) -> bool {
        // Of refusals the server's own alone: with several hosts, another may take writes later.
        self.cause()
            .and_then(|cause| code(&cause.0))
            .is_some_and(|code| is_final(&code))
    }

    /// Whether a table that the statement names is not there.
    pub(super) fn is_of_a_missing_table(&self) -> bool {
        self.cause()
            .and_then(|cause| code(&cause.0))
            .is_some_and(|code| code == "42P01")
    }

    /// What to do about it, as the end of its line; empty where only the error itself can tell.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        self.cause().map_or("", |cause| remedy(&cause.0))
    }

    /// What is told of it where the line says already that it comes from the database.
    #[must_use]
    pub fn words(&self) -> String {
        self.cause()
            .map_or_else(|| self.to_string(), ToString::to_string)
    }

    /// What a function of the schema refuses, in its words, with its hint.
    #[must_use]
    pub fn of_the_schema(&self) -> Option<String> {
        let sqlx::Error::Database(cause) = &self.cause()?.0 else {
            return None;
        };
        let cause = cause.try_downcast_ref::<PgDatabaseError>()?;
        // raise_exception
        (cause.code() == "P0001").then(|| match cause.hint() {
            Some(hint) => format!("{}; {hint}", cause.message()),
            None => cause.message().to_owned(),
        })
    }

    /// What the driver or the server says, where it is they who say something.
    fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Away(cause)
            | Self::Refused(cause)
            | Self::Forbidden(cause)
            | Self::Repeated(cause)
            | Self::OfTheRows(cause)
            | Self::Impossible(cause) => Some(cause),
            Self::Stalled(_) | Self::Unreadable(_) | Self::Replaced | Self::Unmet { .. } => None,
        }
    }
}

/// Refuses what a statement did if it met another number of rows than it had to. Whoever asks
/// goes no further, so that the transaction is rolled back.
pub(super) fn ensure_met(
    done: &PgQueryResult,
    expected: usize,
    rows: &'static str,
) -> Result<(), StoreError> {
    let expected = u64::try_from(expected).unwrap_or(u64::MAX);
    let met = done.rows_affected();
    if met == expected {
        Ok(())
    } else {
        Err(StoreError::Unmet {
            rows,
            expected,
            met,
        })
    }
}

/// Whether the rows are at fault, by the class of the code: 22 (data exception), 23 (integrity
/// constraint violation), 54 (limit
/// exceeded, such as a transaction id too long for an index) and P0 (somebody's own trigger
/// raises).
fn is_of_the_rows(code: &str) -> bool {
    const CLASSES: [&str; 4] = ["22", "23", "54", "P0"];
    CLASSES.iter().any(|class| code.starts_with(class))
}

/// Whether the server says so again; not where there is no code.
pub(super) fn is_final(code: &str) -> bool {
    const PASSING: [&str; 8] = ["08", "25", "40", "53", "55", "57", "58", "XX"];
    !code.is_empty() && !PASSING.iter().any(|class| code.starts_with(class))
}
