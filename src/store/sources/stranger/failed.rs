//! Why a table could not be read, in words that quote nothing of it.

use sqlx::error::DatabaseError;

use crate::store::error::is_final;

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StrangerFailed {
    /// The table cannot be read until somebody changes something; a sentence without its full stop.
    #[error("{0}")]
    Refused(String),
    /// The session failed, and another may do it in a minute.
    #[error("the session that reads the table failed: {0}")]
    Session(String),
}

impl From<sqlx::Error> for StrangerFailed {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(told) => {
                let code = told.code().unwrap_or_default();
                // query_canceled: by the time that it takes, and so again.
                if is_final(&code) || code == "57014" {
                    Self::Refused(reason(&code, told.message()))
                } else {
                    Self::Session(passing(&error))
                }
            }
            // What the table's owner has put into the place of a text.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Self::Refused("it gives values that are no text".to_owned())
            }
            _ => Self::Session(passing(&error)),
        }
    }
}

/// What a server says may be what a function of the table's owner has it say, and may quote a row:
/// none of it is shown.
pub(super) fn passing(error: &sqlx::Error) -> String {
    match error.as_database_error().map(DatabaseError::code) {
        Some(code) => format!("the server says {}", code.unwrap_or_default()),
        None => error.to_string(),
    }
}

/// The reason in words of our own. The codes are of PostgreSQL's documentation, appendix A.
fn reason(code: &str, message: &str) -> String {
    let what = match code {
        "42P01" if message.contains("\"old\"") => {
            "its SQL names old, and nobody knows afterwards what a row was"
        }
        "42501" if message.contains("row-level security") => {
            "its table has policies, and rows that the role does not see cannot be compared: ALTER ROLE … BYPASSRLS, or leave \
             it out"
        }
        "42501" => {
            "its role may not read what it needs; run `posthorn source attach` again, and GRANT the role what --when and \
             --kind-sql read or call besides"
        }
        "42703" => "a column of it is missing",
        "42P01" => "a table that it needs is missing",
        "42883" => "a function or an operator that it needs is missing",
        "57014" => "a look at some pages of its table took longer than 20 seconds",
        _ => "its table or its SQL fails, and what the server says of it may quote a row",
    };
    format!("{what} ({code})")
}
