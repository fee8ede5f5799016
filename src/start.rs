//! What the commands that run until they are stopped do before anything else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{self, Config, Egress, secrets};
use crate::flow::{DbClock, STATEMENT};
use crate::gateway;
use crate::http::server::serve;
use crate::http::{Health, Metrics};
use crate::model::secret::SecretError;
use crate::send::{EgressPolicy, Network, Proxy, basic_authorization};
use crate::store::schema::{SchemaState, schema_state};
use crate::store::shards::cluster_and_time;
use crate::store::{Pool, StoreError, Way, within};

/// How long to wait between two looks for a database that is away at start.
const AWAY: Duration = Duration::from_secs(1);

/// How often it is said again what is missing, as long as nothing changes.
const REMIND: Duration = Duration::from_secs(30);

/// How many files a process opens beside its clients' connections: for the database, the logs and
/// the listening sockets.
const SPARE_FILES: u64 = 256;

/// Tells what stands between this process and the database.
#[must_use]
pub const fn way(database: &config::Database) -> Way {
    if database.transaction_pooler {
        Way::Pooler
    } else {
        Way::Direct
    }
}

/// Puts together the outside as the sender knows it: where requests may go, and through which
/// proxies. Reads the proxies' credentials.
pub fn network(egress: &Egress) -> Result<Network, SecretError> {
    let pools = egress.proxy_pools.iter().map(|pool| {
        let authorization = match &pool.credentials {
            Some(from) => Some(basic_authorization(&secrets::read_text(from)?)),
            None => None,
        };
        let proxies = pool.proxies.iter().map(|(host, port)| Proxy {
            host: host.clone(),
            port: *port,
            authorization: authorization.clone(),
        });
        Ok((pool.name.clone(), proxies.collect()))
    });
    Ok(Network {
        policy: EgressPolicy {
            allow: egress.allow.clone(),
            ports: egress.ports.clone(),
            nat64_prefixes: egress.nat64_prefixes.clone(),
        },
        name_servers: egress.name_servers.clone(),
        proxy_pools: pools.collect::<Result<_, _>>()?,
    })
}

/// Answers for this process's metrics and health until `stop`, from its first moment on.
pub async fn serve_health(
    (key, address): (&str, SocketAddr),
    metrics: &Metrics,
    health: &Health,
    stop: &CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{key}: cannot listen on {address}"))?;
    info!(address = %listener.local_addr()?, "metrics and health");
    let serving = serve(listener, metrics.clone(), health.clone(), stop.clone());
    Ok(tokio::spawn(serving))
}

/// What a schema that is older than this version needs, or not there, means to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Somebody has forgotten to run `posthorn migrate`.
    IsThere,
    /// The schema may still come: the database was made anew a moment ago, and this process has run
    /// for long.
    MayCome,
}

/// Waits for the database, and refuses a schema that this version does not know. None where it was
/// told to stop before the database came.
pub async fn reach_database(
    pool: &Pool,
    schema: Schema,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(String, DbClock)>> {
    const OLDER: &str =
        "the database's schema is older than this version needs; run `posthorn migrate`";
    let mut told = Told::default();
    loop {
        match within(STATEMENT, look_at_database(pool)).await {
            Ok((SchemaState::Current, cluster, clock)) => return Ok(Some((cluster, clock))),
            Ok((SchemaState::Ahead, cluster, clock)) => {
                info!(
                    "the database's schema is one migration newer than this version; it works on until it is upgraded"
                );
                return Ok(Some((cluster, clock)));
            }
            Ok((SchemaState::Older, ..)) if schema == Schema::IsThere => bail!(OLDER),
            Ok((SchemaState::Older, ..)) => told.warn(OLDER.to_owned()),
            Ok((SchemaState::Newer, ..)) => {
                bail!("the database's schema is newer than this version knows; upgrade posthorn")
            }
            Ok((SchemaState::ForeignEncoding, ..)) => {
                bail!(
                    "the encoding of this database is not UTF8, so that one event could halt all others; restore a dump in a database made with ENCODING 'UTF8' TEMPLATE template0"
                )
            }
            Err(error) => told.warn(missing(&error)),
        }
        tokio::select! {
            () = tokio::time::sleep(AWAY) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// Says what keeps a process from its database, and what to do about it.
fn missing(error: &StoreError) -> String {
    let (words, remedy) = (error.words(), error.remedy());
    if error.is_refused() {
        // It waits for whoever mends it, and not for the database.
        format!("the database refuses this process: {words}{remedy}")
    } else {
        format!("cannot reach the database, and tries again: {words}{remedy}")
    }
}

/// What has been said in the log, so that nothing new is missed and the log does not fill.
#[derive(Default)]
struct Told {
    last: Option<(String, Instant)>,
}

impl Told {
    fn warn(&mut self, text: String) {
        let again = |(last, at): &(String, Instant)| *last != text || at.elapsed() >= REMIND;
        if self.last.as_ref().is_none_or(again) {
            warn!("{text}");
            self.last = Some((text, Instant::now()));
        }
    }
}

async fn look_at_database(pool: &Pool) -> Result<(SchemaState, String, DbClock), StoreError> {
    let state = schema_state(pool).await?;
    if !matches!(state, SchemaState::Current | SchemaState::Ahead) {
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
    ground: gateway::GatewayGround,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let settings = config.gateway.clone();
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("gateway.listen: cannot listen on {}", settings.listen))?;
    info!(address = %listener.local_addr()?, "gateway");
    Ok(gateway::run(settings, ground, listener))
}
