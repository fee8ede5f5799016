//! Connections to the database.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::StoreError;

/// How long to wait for a connection before the database counts as away.
const ACQUIRE: Duration = Duration::from_secs(5);

/// A pool for a worker or a command. It connects when it is first used, so a database
/// that is away at start is no error here.
///
/// The planner settings keep every statement on its index. Posthorn's tables are empty
/// one minute and hold a million rows the next, and a cached plan that was right for the
/// empty table (a sequential scan) would be ruinous for the full one
/// (docs/decisions/0003-planner-settings.md).
pub fn connect(url: &SecretString, max_connections: u32) -> Result<PgPool, StoreError> {
    let options = PgConnectOptions::from_str(url.expose_secret())?
        .application_name("posthorn")
        .options([
            ("jit", "off"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("plan_cache_mode", "force_generic_plan"),
            ("timezone", "UTC"),
            // As the settings' reader takes intervals out of JSON rows.
            ("intervalstyle", "iso_8601"),
        ]);
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .connect_lazy_with(options))
}
