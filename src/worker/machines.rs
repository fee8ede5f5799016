//! Ties the machines of the flow together: who does their errands, and the channels between
//! them.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::air::Air;
use super::errands::Errands;
use super::keeping::Keeping;
use super::loading::Loader;
use super::reading::Reading;
use super::recording::Recording;
use super::replays::Replays;
use super::sending::Delivering;
use super::{ANSWER_CAP, dispatching, settings};
use crate::config::Config;
use crate::dispatch::{Dispatcher, Outlets};
use crate::feed::keeper::{Ended, Keeper};
use crate::feed::reader::Reader;
use crate::flow::DbClock;
use crate::flow::entry::{Backlog, ToRecord};
use crate::flow::input::Input;
use crate::flow::lease::Lease;
use crate::flow::refill::Waiting;
use crate::flow::shards::{Condition, Drained, ShardOrder};
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::model::TokenKey;
use crate::record::Recorder;
use crate::send::{Network, Sender};
use crate::store::Pool;
use crate::vault::Keyring;

/// What every room of the flow stands on.
pub(super) struct Ground {
    pub cluster: String,
    pub pool: Pool,
    pub keeper_pool: Pool,
    pub network: Network,
    pub keys: Arc<Keyring>,
    pub clock: DbClock,
    pub token_key: TokenKey,
    pub metrics: Metrics,
    pub health: Health,
}

/// Starts feed, dispatcher and recorder; returns the keeper, which ends when everything
/// is handed over.
pub(super) fn start(
    config: &Config,
    ground: &Ground,
    rooms: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> JoinHandle<Ended> {
    let (inputs, inputs_rx) = mpsc::unbounded_channel();
    let (recorder, entries) = mpsc::unbounded_channel();
    let (keeper, drained) = mpsc::unbounded_channel();
    let (reader, orders) = mpsc::unbounded_channel();
    let (replays, of_replays) = mpsc::unbounded_channel();
    let (room, has_room) = watch::channel(true);
    let (condition, told) = watch::channel(Condition::default());
    let flow = Flow {
        config,
        ground,
        worker: Uuid::now_v7(),
        dispatcher: inputs,
        backlog: Backlog::default(),
        lease: Lease::new(Instant::now()),
    };
    let told_by_dispatcher = Told {
        recorder,
        keeper,
        room,
        condition,
    };
    rooms.spawn(flow.record(entries));
    rooms.spawn(flow.replay(replays));
    rooms.spawn(flow.dispatch(inputs_rx, told_by_dispatcher));
    rooms.spawn(flow.read(orders, of_replays, has_room));
    tokio::spawn(flow.keep(reader, drained, told, stop.clone()))
}

/// Whom the dispatcher tells what.
struct Told {
    recorder: UnboundedSender<ToRecord>,
    keeper: UnboundedSender<Drained>,
    room: watch::Sender<bool>,
    condition: watch::Sender<Condition>,
}

/// What the machines of one worker have in common.
struct Flow<'a> {
    config: &'a Config,
    ground: &'a Ground,
    /// New at each start.
    worker: Uuid,
    dispatcher: UnboundedSender<Input>,
    backlog: Backlog,
    lease: Lease,
}

impl Flow<'_> {
    fn record(
        &self,
        entries: UnboundedReceiver<ToRecord>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let settings = settings::of_recorder(&self.config.worker);
        let recorder = Recorder::new(settings, self.backlog.clone());
        let recording = Recording {
            pool: self.ground.pool.clone(),
            owner: self.worker,
            metrics: self.ground.metrics.clone(),
            dispatcher: self.dispatcher.clone(),
        };
        recording.run(recorder, entries)
    }

    fn replay(
        &self,
        reader: UnboundedSender<Vec<Waiting>>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let replays = Replays {
            pool: self.ground.pool.clone(),
            worker: self.worker,
            reader,
            dispatcher: self.dispatcher.clone(),
            metrics: self.ground.metrics.clone(),
        };
        async move {
            replays.run().await;
        }
    }

    fn dispatch(
        &self,
        inputs: UnboundedReceiver<Input>,
        told: Told,
    ) -> impl Future<Output = ()> + Send + use<> {
        let Ground {
            pool,
            network,
            clock,
            token_key,
            metrics,
            ..
        } = self.ground;
        let errands = Errands {
            delivering: Delivering {
                max_data_bytes: self.config.worker.max_data_bytes,
                sender: Sender::new(network.clone(), ANSWER_CAP),
                clock: clock.clone(),
                token_key: token_key.clone(),
            },
            pool: pool.clone(),
            inputs: self.dispatcher.clone(),
            metrics: metrics.clone(),
            air: Air::default(),
        };
        let outlets = Outlets {
            errands: Box::new(move |errand| errands.run(errand)),
            recorder: told.recorder,
            backlog: self.backlog.clone(),
            drained: told.keeper,
            room: told.room,
            condition: told.condition,
            lease: self.lease.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
        };
        let settings = settings::of_dispatcher(self.config);
        dispatching::run(Dispatcher::new(settings, outlets, Instant::now()), inputs)
    }

    fn read(
        &self,
        orders: UnboundedReceiver<ShardOrder>,
        replays: UnboundedReceiver<Vec<Waiting>>,
        has_room: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let reading = Reading {
            pool: self.ground.pool.clone(),
            loader: Loader {
                pool: self.ground.pool.clone(),
                keys: Arc::clone(&self.ground.keys),
                proxy_pools: self.config.egress.proxy_pool_names().into(),
            },
            dispatcher: self.dispatcher.clone(),
            metrics: self.ground.metrics.clone(),
            health: self.ground.health.clone(),
        };
        let settings = settings::of_reader(&self.config.worker);
        let reader = Reader::new(settings, self.ground.clock.clone(), Instant::now());
        async move {
            reading.run(reader, orders, replays, has_room).await;
            // It ends with the keeper; the worker ends the rest.
            std::future::pending::<()>().await;
        }
    }

    fn keep(
        self,
        reader: UnboundedSender<ShardOrder>,
        drained: UnboundedReceiver<Drained>,
        condition: watch::Receiver<Condition>,
        stop: CancellationToken,
    ) -> impl Future<Output = Ended> + Send + use<> {
        let keeper = Keeper::new(
            settings::of_keeper(&self.config.worker),
            self.ground.cluster.clone(),
            self.lease,
            self.backlog.clone(),
            self.ground.clock.clone(),
            Instant::now(),
        );
        let keeping = Keeping {
            identity: settings::identity(&self.config.worker, self.worker),
            pool: self.ground.keeper_pool.clone(),
            dispatcher: self.dispatcher,
            reader,
            condition,
            backlog: self.backlog,
            metrics: self.ground.metrics.clone(),
            health: self.ground.health.clone(),
        };
        keeping.run(keeper, drained, stop)
    }
}
