//! Why the database did not do what was asked, and what callers do something else about.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::postgres::PgDatabaseError;

/// Why the database did not do what was asked. The codes are of PostgreSQL's documentation,
/// appendix A, and stand in this room alone.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database refused: {}", told(.0))]
    Database(sqlx::Error),
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
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl StoreError {
    /// The session's role may not do what was asked.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.code().is_some_and(|code| code == "42501")
    }

    /// A row of this key is there already.
    #[must_use]
    pub fn is_repetition(&self) -> bool {
        self.code().is_some_and(|code| code == "23505")
    }

    /// The rows are at fault, not the connection or the server. By the class of the code: 22 (data
    /// exception), 23 (integrity constraint violation), 54 (limit exceeded, such as a transaction
    /// id too long for an index) and P0 (somebody's own trigger raises). A repetition is none.
    #[must_use]
    pub fn is_of_the_rows(&self) -> bool {
        const CLASSES: [&str; 4] = ["22", "23", "54", "P0"];
        !self.is_repetition()
            && self
                .code()
                .is_some_and(|code| CLASSES.iter().any(|class| code.starts_with(class)))
    }

    /// What a function of the schema refuses, in its words, with its hint.
    #[must_use]
    pub fn of_the_schema(&self) -> Option<String> {
        let Self::Database(sqlx::Error::Database(cause)) = self else {
            return None;
        };
        let cause = cause.try_downcast_ref::<PgDatabaseError>()?;
        // raise_exception
        (cause.code() == "P0001").then(|| match cause.hint() {
            Some(hint) => format!("{}; {hint}", cause.message()),
            None => cause.message().to_owned(),
        })
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Database(error) => error.as_database_error()?.code(),
            Self::Stalled(_) | Self::Unreadable(_) | Self::Replaced => None,
        }
    }
}

/// In the database's words alone: the driver adds the line of PostgreSQL's own source that they
/// come from, which reads like a line of the statement. It is no further cause either, since it
/// would be told so again.
pub(super) fn told(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    }
}
