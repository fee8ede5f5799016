//! What to do about an error of the database.

/// What to do about an error, as the end of its line; empty where only the error itself
/// can tell. The codes are of PostgreSQL's documentation, appendix A.
#[must_use]
pub fn remedy(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => {
            "; check that PostgreSQL runs at the URL's host and port and can be reached from here"
        }
        sqlx::Error::Tls(_) => "; check sslmode and sslrootcert in the URL",
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("28P01" | "28000") => "; check the URL's user and password, and pg_hba.conf",
            Some("3D000") => "; create the database first, or correct the URL",
            Some("42501") => "; connect as the owner of the database and of the schema posthorn",
            Some("3F000" | "42P01" | "42883") => "; run `posthorn migrate` first",
            Some("57014") => "; narrow the question, such as by a shorter time",
            Some("53300") => "; raise max_connections, or close other connections",
            _ => "",
        },
        _ => "",
    }
}

/// Whether the database answers and does not let this process in: no waiting helps.
#[must_use]
pub fn is_refused(error: &sqlx::Error) -> bool {
    const REFUSED: [&str; 5] = ["28000", "28P01", "3D000", "3F000", "42501"];
    matches!(error, sqlx::Error::Configuration(_) | sqlx::Error::Tls(_))
        || error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| REFUSED.contains(&&*code))
}

/// Whether the database says no to the statement itself, so that it says so again: neither is
/// it away or at its limits, nor did another session stand in the way.
#[must_use]
pub fn is_final(error: &sqlx::Error) -> bool {
    const PASSING: [&str; 8] = ["08", "25", "40", "53", "55", "57", "58", "XX"];
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| !PASSING.iter().any(|class| code.starts_with(class)))
}
