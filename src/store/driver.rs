//! The names under which the driver writes to the log.

/// The driver itself, of which all the others are parts.
pub const DRIVER: &str = "sqlx";

/// Statements, and how long they took.
pub const STATEMENTS: &str = "sqlx::query";

/// The reading of database URLs.
pub const URLS: &str = "sqlx_postgres::options";

/// What the server and the functions in it tell besides their answers.
pub const NOTICES: &str = "sqlx::postgres::notice";
