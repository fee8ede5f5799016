//! What the commands that run until they are stopped do before anything else.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{self, Config};
use crate::gateway;
use crate::store::schema::{SchemaState, schema_state};
use crate::store::shards::cluster_and_time;
use crate::store::{DbClock, Pool, StoreError, Way, within};

/// Between two looks for a database that is away at start.
const AWAY: Duration = Duration::from_secs(1);

/// Each connection needs a file descriptor; so do the database, the logs and the listening
/// sockets.
const SPARE_FILES: u64 = 256;

/// What stands between this process and the database.
#[must_use]
pub const fn way(database: &config::Database) -> Way {
    if database.transaction_pooler {
        Way::Pooler
    } else {
        Way::Direct
    }
}

/// Waits for the database, and refuses a schema that this version does not know. None: it
/// was told to stop before the database came.
pub async fn reach_database(
    pool: &Pool,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(String, DbClock)>> {
    let mut said = false;
    loop {
        match within(AWAY * 10, look_at_database(pool)).await {
            Ok((SchemaState::Current, cluster, clock)) => return Ok(Some((cluster, clock))),
            Ok((SchemaState::Older, ..)) => {
                bail!(
                    "the database's schema is older than this version needs; run `posthorn migrate`"
                )
            }
            Ok((SchemaState::Newer, ..)) => {
                bail!("the database's schema is newer than this version knows; upgrade posthorn")
            }
            Err(error) if !said => {
                warn!(%error, "cannot reach the database; trying until it answers");
                said = true;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(AWAY) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

async fn look_at_database(pool: &Pool) -> Result<(SchemaState, String, DbClock), StoreError> {
    let state = schema_state(pool).await?;
    if state != SchemaState::Current {
        let clock = DbClock::anchored(Instant::now(), chrono::DateTime::UNIX_EPOCH);
        return Ok((state, String::new(), clock));
    }
    let (cluster, time) = cluster_and_time(pool).await?;
    Ok((state, cluster, DbClock::anchored(Instant::now(), time)))
}

/// Lets this process open so many files, and a few more.
pub fn allow_open_files(connections: usize) {
    let wanted = connections as u64 + SPARE_FILES;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(allowed) if allowed < wanted => {
            warn!(
                allowed,
                wanted,
                "this process may open fewer files than lanes.max_in_flight_total and gateway.max_connections need; raise its limit (ulimit -n)"
            );
        }
        Ok(_) => {}
        Err(error) => warn!(%error, "cannot raise the limit of open files"),
    }
}

/// Listens for the gateway's clients; the future answers them until the ground's `stop`.
pub async fn open_gateway(
    config: &Config,
    ground: gateway::Ground,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let settings = config.gateway.clone();
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("gateway.listen: cannot listen on {}", settings.listen))?;
    info!(address = %listener.local_addr()?, "gateway");
    Ok(gateway::run(settings, ground, listener))
}
