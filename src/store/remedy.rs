//! What to do about an error of the database.

/// The code of a server's answer; none: the driver says it.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    Some(code.into_owned())
}

/// What to do about an error, as the end of its line; empty where only the error itself
/// can tell. The codes are of PostgreSQL's documentation, appendix A.
pub(super) fn remedy(error: &sqlx::Error) -> &'static str {
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

/// Whether the database answers and does not let this process in, or the driver cannot go
/// where the URL leads: no waiting helps.
pub(super) fn refuses(error: &sqlx::Error) -> bool {
    const REFUSED: [&str; 4] = ["28000", "28P01", "3D000", "3F000"];
    matches!(error, sqlx::Error::Configuration(_) | sqlx::Error::Tls(_))
        || code(error).is_some_and(|code| REFUSED.contains(&&*code))
}
