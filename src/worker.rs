//! The worker: puts the rooms together and runs them until it is told to stop.

mod air;
mod disabling;
mod dispatching;
mod errands;
mod keeping;
mod keys;
mod reading;
mod recording;
mod refilling;
mod replays;
pub mod sending;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use self::air::Air;
use self::errands::Errands;
use self::keeping::{Identity, Keeping};
use self::reading::Reading;
use self::recording::Recording;
use self::replays::Replays;
use self::sending::Delivering;
use crate::config::{self, Config, DatabaseUrl, Written};
use crate::dispatch::{BreakerSettings, DispatchSettings, Dispatcher, LaneSettings, Outlets};
use crate::feed::keeper::{self, Ended, Keeper, KeeperSettings};
use crate::feed::ownership::Ownership;
use crate::feed::reader::{Reader, ReaderSettings};
use crate::flow::DbClock;
use crate::flow::entry::Backlog;
use crate::flow::lease::Lease;
use crate::flow::shards::Condition;
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::model::TokenKey;
use crate::model::declaration::listed;
use crate::record::{Recorder, RecorderSettings};
use crate::send::{Network, Sender};
use crate::start::{
    self, Schema, allow_open_files, open_gateway, reach_database, serve_health, way,
};
use crate::store::Pool;
use crate::store::declared::{Consent, apply_declared};
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
        rooms.spawn(maintenance::run(
            pool.clone(),
            clock.clone(),
            maintenance_settings(&config.maintenance),
            ends.clone(),
        ));
        rooms.spawn(maintenance::audit::run(
            pool.clone(),
            clock.clone(),
            maintenance::audit::Settings {
                schedule: config.maintenance.audit_schedule.clone(),
                window: config.maintenance.audit_window,
            },
            metrics.clone(),
            ends.clone(),
        ));
        rooms.spawn(maintenance::comparison::run(
            pool.clone(),
            clock.clone(),
            maintenance::comparison::Settings {
                schedule: config.maintenance.compare_schedule.clone(),
                urls: self.compare_urls.clone(),
            },
            metrics.clone(),
            ends.clone(),
        ));
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
        let kept = start_flow(config, &ground, &mut rooms, stop);
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
    let ground = gateway::Ground {
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

/// What every room of the flow stands on.
struct Ground {
    cluster: String,
    pool: Pool,
    keeper_pool: Pool,
    network: Network,
    keys: Arc<Keyring>,
    clock: DbClock,
    token_key: TokenKey,
    metrics: Metrics,
    health: Health,
}

/// Starts feed, dispatcher and recorder; returns the keeper, which ends when everything
/// is handed over.
fn start_flow(
    config: &Config,
    ground: &Ground,
    rooms: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> tokio::task::JoinHandle<Ended> {
    let Ground {
        cluster,
        pool,
        keeper_pool,
        network,
        keys,
        clock,
        token_key,
        metrics,
        health,
    } = ground;
    let id = Uuid::now_v7();
    let (inputs, inputs_rx) = mpsc::unbounded_channel();
    let (entries, entries_rx) = mpsc::unbounded_channel();
    let (drained, drained_rx) = mpsc::unbounded_channel();
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let (room, room_rx) = watch::channel(true);
    let (condition, condition_rx) = watch::channel(Condition::default());
    let backlog = Backlog::default();
    let lease = Lease::new(Instant::now());

    let recording = Recording {
        pool: pool.clone(),
        owner: id,
        metrics: metrics.clone(),
        dispatcher: inputs.clone(),
    };
    let recorder = Recorder::new(recorder_settings(&config.worker), backlog.clone());
    let errands = Errands {
        delivering: Delivering {
            max_data_bytes: config.worker.max_data_bytes,
            sender: Sender::new(network.clone(), ANSWER_CAP),
            clock: clock.clone(),
            token_key: token_key.clone(),
        },
        pool: pool.clone(),
        inputs: inputs.clone(),
        metrics: metrics.clone(),
        air: Air::default(),
    };
    let dispatcher = Dispatcher::new(
        dispatch_settings(config),
        Outlets {
            errands: Box::new(move |errand| errands.run(errand)),
            recorder: entries,
            backlog: backlog.clone(),
            drained,
            room,
            condition,
            lease: lease.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
        },
        Instant::now(),
    );
    let reading = Reading {
        pool: pool.clone(),
        keys: Arc::clone(keys),
        proxy_pools: config.egress.proxy_pool_names(),
        dispatcher: inputs.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
    };
    let reader = Reader::new(
        reader_settings(&config.worker),
        clock.clone(),
        Instant::now(),
    );
    let replays = Replays {
        pool: pool.clone(),
        worker: id,
        dispatcher: inputs.clone(),
        metrics: metrics.clone(),
    };
    let keeper = Keeper::new(
        keeper_settings(&config.worker),
        cluster.clone(),
        lease,
        backlog.clone(),
        clock.clone(),
        Instant::now(),
    );
    let keeping = Keeping {
        identity: identity(&config.worker, id),
        pool: keeper_pool.clone(),
        dispatcher: inputs,
        reader: orders,
        condition: condition_rx,
        backlog,
        metrics: metrics.clone(),
        health: health.clone(),
    };
    rooms.spawn(recording.run(recorder, entries_rx));
    rooms.spawn(async move {
        replays.run().await;
    });
    rooms.spawn(dispatching::run(dispatcher, inputs_rx));
    rooms.spawn(async move {
        reading.run(reader, orders_rx, room_rx).await;
        // It ends with the keeper; the worker ends the rest.
        std::future::pending::<()>().await;
    });
    tokio::spawn(keeping.run(keeper, drained_rx, stop.clone()))
}

fn recorder_settings(worker: &config::Worker) -> RecorderSettings {
    RecorderSettings {
        flush_after: worker.flush_after,
        flush_rows: worker.flush_rows,
    }
}

fn reader_settings(worker: &config::Worker) -> ReaderSettings {
    ReaderSettings {
        poll_min: worker.poll_min,
        poll_max: worker.poll_max,
        page_rows: worker.page_rows,
    }
}

fn dispatch_settings(config: &Config) -> DispatchSettings {
    let lanes = &config.lanes;
    DispatchSettings {
        lane: LaneSettings {
            spill_after: lanes.spill_after,
            breaker: BreakerSettings {
                failures: lanes.breaker_failures,
                probe_min: lanes.probe_interval_min,
                probe_max: lanes.probe_interval_max,
            },
        },
        memory_deliveries: lanes.memory_deliveries,
        memory_bytes: lanes.memory_bytes,
        max_in_flight_total: lanes.max_in_flight_total,
        max_data_bytes: config.worker.max_data_bytes,
        grace: config.worker.grace,
    }
}

fn keeper_settings(worker: &config::Worker) -> KeeperSettings {
    KeeperSettings {
        lease: worker.lease,
        checkpoint_every: worker.checkpoint_every,
        grace: worker.grace,
    }
}

fn identity(worker: &config::Worker, id: Uuid) -> Identity {
    let name = worker.name.clone().unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}/{}", host.trim(), std::process::id())
    });
    Identity {
        id,
        name,
        lease: worker.lease,
    }
}

fn maintenance_settings(settings: &config::Maintenance) -> maintenance::Settings {
    maintenance::Settings {
        schedule: settings.schedule.clone(),
        partitions_ahead_days: settings.partitions_ahead_days,
        retention_days: settings.retention_days,
        payload_days: settings.payload_days,
    }
}

/// Makes what the file declares take effect. A file that declares nothing leaves that of
/// `posthorn config apply` alone.
async fn declare(config: &Config, pool: &Pool) -> anyhow::Result<()> {
    let declaration = config.declare();
    if declaration.entries.is_empty() {
        return Ok(());
    }
    let plan = apply_declared(pool, &declaration, Consent::default()).await?;
    info!(
        changes = plan.changes.len(),
        "the file's subscriptions, profiles and locks are applied"
    );
    let gone = plan.gone();
    if !gone.is_empty() {
        warn!(
            count = gone.len(),
            "disabled or removed, because the file no longer has them: {}; what a subscription misses from now on can be had later: posthorn replay --state missing",
            listed(&gone)
        );
    }
    if !plan.unclaimed.is_empty() && declaration.owner.is_none() {
        warn!(
            count = plan.unclaimed.len(),
            "not in this file, and left alone: {}; give each file its name, owner = \"…\", and what its file no longer has is disabled",
            listed(&plan.unclaimed)
        );
    }
    Ok(())
}

/// SIGHUP: the file's profiles and subscriptions take effect; its other sections at the
/// next start. A file that is wrong changes nothing.
async fn reload_file(path: Option<&std::path::Path>, running: &Written, pool: &Pool) {
    let Some(path) = path else { return };
    let reloaded = async {
        let config = Config::load(path)?;
        config.check_secrets()?;
        declare(&config, pool).await
    };
    match reloaded.await {
        Ok(()) => {
            info!(path = %path.display(), "subscriptions and profiles reloaded");
            let waiting = running.differences(&Written::load(path));
            if !waiting.is_empty() {
                warn!(
                    "changed in the file, and counts from the next start: {}",
                    waiting.join(", ")
                );
            }
        }
        Err(error) => warn!(path = %path.display(), "not reloaded: {error:#}"),
    }
}
