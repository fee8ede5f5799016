//! The worker: puts the rooms together and runs them until it is told to stop.

mod air;
mod declared;
mod disabling;
mod dispatching;
mod errands;
mod keeping;
mod keys;
mod loading;
mod machines;
mod reading;
mod recording;
mod refilling;
mod replays;
pub mod sending;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::declared::{declare, reload_file};
use self::machines::Ground;
use crate::config::{Config, DatabaseUrl, Written};
use crate::feed::keeper::{self, Ended};
use crate::feed::ownership::Ownership;
use crate::flow::DbClock;
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::maintenance::audit::Audit;
use crate::maintenance::comparison::Compare;
use crate::maintenance::nightly::Nightly;
use crate::send::Network;
use crate::start::{
    self, Schema, allow_open_files, open_gateway, reach_database, serve_health, way,
};
use crate::store::Pool;
use crate::store::token_key::load_token_key;
use crate::vault::Keyring;
use crate::{gateway, maintenance, store};

/// How much of an answer's body is read: enough for any text that a success rule asks
/// for.
pub const ANSWER_CAP: usize = 64 * 1024;

/// Runs a worker until `stop`, with a gateway in the same process where it is wanted. `reload`
/// is the file to read again at each of its signals.
pub async fn run(
    config: Config,
    with_gateway: bool,
    path: Option<PathBuf>,
    mut reload: mpsc::Receiver<()>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let url = config.database.url.read().context("database.url")?;
    let compare_urls = config
        .maintenance
        .compare_urls
        .iter()
        .map(DatabaseUrl::read);
    let compare_urls: Result<Vec<_>, _> = compare_urls.collect();
    let compare_urls = compare_urls.context("maintenance.compare_urls")?;
    let keys = Arc::new(config.secrets.keyring()?);
    config.check_secrets()?;
    let network = start::network(&config.egress).context("egress.proxy_pool")?;
    let mut files = config.lanes.max_in_flight_total;
    if with_gateway {
        files += config.gateway.max_connections;
    }
    allow_open_files(files);
    let metrics = Metrics::new();
    let health = Health::new();
    let ends = CancellationToken::new();
    let serving = serve_health(
        ("http.listen", config.http.listen),
        &metrics,
        &health,
        &ends,
    )
    .await?;
    let worker = Worker {
        config,
        with_gateway,
        running: path.as_deref().map(Written::load).unwrap_or_default(),
        path,
        url,
        compare_urls,
        keys,
        network,
        metrics,
        health,
        stop,
    };
    let mut schema = Schema::IsThere;
    while worker.run(schema, &mut reload).await? == Ended::AnotherDatabase {
        schema = Schema::MayCome;
    }
    // Everything is handed over: what still runs waits for nothing.
    ends.cancel();
    serving
        .await
        .context("metrics and health ended in a panic")?;
    info!("stopped");
    Ok(())
}

/// What a worker is, whichever database it finds.
struct Worker {
    config: Config,
    with_gateway: bool,
    /// What the file said when the process started.
    running: Written,
    path: Option<PathBuf>,
    url: SecretString,
    compare_urls: Vec<SecretString>,
    keys: Arc<Keyring>,
    network: Network,
    metrics: Metrics,
    health: Health,
    stop: CancellationToken,
}

impl Worker {
    /// Works for the database that is there, until the worker is told to stop or another
    /// database is in its place. Nothing that was read of one is known to the next.
    async fn run(&self, schema: Schema, reload: &mut mpsc::Receiver<()>) -> anyhow::Result<Ended> {
        let Self {
            config,
            url,
            keys,
            metrics,
            stop,
            ..
        } = self;
        let way = way(&config.database);
        let pool = store::connect_by(way, url, config.database.max_connections)?;
        let Some((cluster, clock)) = reach_database(&pool, schema, stop).await? else {
            return Ok(Ended::Stopped);
        };
        pool.keep_to(&cluster);
        keys::refuse_missing(&pool, keys).await?;
        let ends = CancellationToken::new();
        let mut rooms = JoinSet::new();
        self.maintain(&pool, &clock, &ends, &mut rooms);
        let token_key = load_token_key(&pool).await?;
        let ground = Ground {
            cluster,
            // A lease must not wait for a connection behind refills and pages.
            keeper_pool: store::connect_to_keep(
                way,
                url,
                keeper::STATEMENTS_AT_ONCE,
                Ownership::new(config.worker.lease).lasts(),
            )?,
            pool: pool.clone(),
            network: self.network.clone(),
            keys: Arc::clone(keys),
            clock,
            token_key,
            metrics: metrics.clone(),
            health: self.health.clone(),
        };
        if self.with_gateway {
            rooms.spawn(open_gateway_beside(config, url, &ground, stop).await?);
        }
        // Nothing can keep it from running any more: what the file says may take effect.
        declare(config, &pool).await?;
        let kept = machines::start(config, &ground, &mut rooms, stop);
        tokio::pin!(kept);

        let ended = loop {
            tokio::select! {
                result = &mut kept => break result.context("the keeper ended in a panic")?,
                Some(()) = reload.recv() => reload_file(self.path.as_deref(), &self.running, &pool).await,
                Some(ended) = rooms.join_next() => {
                    ended.context("a room of the worker ended in a panic")?;
                    bail!("a room of the worker ended before its time");
                }
            }
        };
        ends.cancel();
        rooms.shutdown().await;
        pool.close().await;
        Ok(ended)
    }

    /// Starts what looks after the database, on its schedules.
    fn maintain(
        &self,
        pool: &Pool,
        clock: &DbClock,
        ends: &CancellationToken,
        rooms: &mut JoinSet<()>,
    ) {
        let settings = &self.config.maintenance;
        let metrics = &self.metrics;
        rooms.spawn(maintenance::run(
            pool.clone(),
            clock.clone(),
            settings::of_maintenance(settings),
            ends.clone(),
        ));
        let audit = Nightly {
            pool: pool.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            schedule: settings.audit_schedule.clone(),
            task: Audit {
                window: settings.audit_window,
            },
        };
        rooms.spawn(audit.until(ends.clone()));
        let comparison = Nightly {
            pool: pool.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            schedule: settings.compare_schedule.clone(),
            task: Compare {
                urls: self.compare_urls.clone(),
            },
        };
        rooms.spawn(comparison.until(ends.clone()));
        rooms.spawn(maintenance::failures::watch(
            pool.clone(),
            metrics.clone(),
            ends.clone(),
        ));
        rooms.spawn(maintenance::sources::watch(
            pool.clone(),
            metrics.clone(),
            ends.clone(),
        ));
    }
}

/// A gateway in this process, with connections of its own: what its clients ask must not hold
/// a delivery up.
async fn open_gateway_beside(
    config: &Config,
    url: &SecretString,
    ground: &Ground,
    stop: &CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let way = way(&config.database);
    let pool = store::connect_by(way, url, 2)?;
    pool.keep_to(&ground.cluster);
    let ground = gateway::GatewayGround {
        pool,
        reader_pool: store::connect_by(way, url, 1)?,
        token_key: ground.token_key.clone(),
        poll_min: config.worker.poll_min,
        poll_max: config.worker.poll_max,
        metrics: ground.metrics.clone(),
        health: ground.health.clone(),
        stop: stop.child_token(),
    };
    let gateway = open_gateway(config, ground).await?;
    Ok(async move {
        gateway.await;
        // It ends before the worker, which waits for what is in the air, or has yet to see
        // that this is another database.
        std::future::pending::<()>().await;
    })
}
