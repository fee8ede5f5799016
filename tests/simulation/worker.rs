//! A worker process: the rooms' own logic, tied together as in `posthorn::worker`. Only the
//! loops are written again here, on the simulation's time and database.

mod errands;
mod keeper;
mod maintenance;
mod reader;
mod recorder;
mod replays;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use posthorn::dispatch::errand::Errand;
use posthorn::dispatch::{BreakerSettings, DispatchSettings, Dispatcher, LaneSettings, Outlets};
use posthorn::feed::keeper::{Keeper, KeeperSettings};
use posthorn::feed::reader::{Reader, ReaderSettings};
use posthorn::flow::DbClock;
use posthorn::flow::entry::Backlog;
use posthorn::flow::input::Input;
use posthorn::flow::lease::Lease;
use posthorn::http::metrics::Metrics;
use posthorn::record::{Recorder, RecorderSettings};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::database::{Database, Plan};
use crate::executor::{Process, Sleep};
use crate::link::{Away, ask, ask_the_log};
use crate::scenario::Chance;
use crate::worker::keeper::Keeping;
use crate::worker::reader::Reading;
use crate::world::World;

/// As `flow::STATEMENT` and `flow::AWAY`.
const STATEMENT: Duration = posthorn::flow::STATEMENT;
const AWAY: Duration = posthorn::flow::AWAY;

/// What all tasks of a process share.
pub struct Own {
    pub world: Rc<World>,
    pub process: Process,
    pub id: Uuid,
    /// Its monotonic clock runs this much faster than the world's.
    rate: f64,
    chance: RefCell<Chance>,
}

impl Own {
    pub fn now(&self) -> Instant {
        let world = self.world.executor.now().mul_f64(self.rate);
        self.world.instant(world)
    }

    /// So long by its own clock.
    pub fn sleep(&self, span: Duration) -> Sleep {
        self.world.executor.sleep(span.div_f64(self.rate))
    }

    pub async fn ask<T: 'static>(
        &self,
        what: &'static str,
        deadline: Duration,
        statement: impl FnOnce(&mut Database) -> T + 'static,
    ) -> Result<T, Away> {
        let deadline = deadline.div_f64(self.rate);
        ask(&self.world, self.process, what, deadline, statement).await
    }

    /// The same of a statement that reads the log.
    pub async fn ask_the_log<T: 'static>(
        &self,
        what: &'static str,
        deadline: Duration,
        statement: impl FnOnce(&mut Database, &Plan) -> T + 'static,
    ) -> Result<T, Away> {
        let deadline = deadline.div_f64(self.rate);
        ask_the_log(&self.world, self.process, what, deadline, statement).await
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.world.executor.spawn(self.process, task);
    }
}

/// Starts a worker; true makes it stop in order.
pub fn start(world: &Rc<World>, process: Process, chance: &mut Chance) -> watch::Sender<bool> {
    let drift = world.scenario.faults.drift;
    let own = Rc::new(Own {
        world: Rc::clone(world),
        process,
        id: Uuid::from_u128(chance.number()),
        rate: 1.0 + drift * (chance.share() * 2.0 - 1.0),
        chance: RefCell::new(chance.split()),
    });
    let (stop, stopped) = watch::channel(false);
    own.spawn(run(Rc::clone(&own), stopped));
    stop
}

async fn run(own: Rc<Own>, stop: watch::Receiver<bool>) {
    let (cluster, time) = loop {
        let asked = own.ask("look at the database", AWAY * 10, |database| {
            (database.cluster(), database.now())
        });
        if let Ok(answer) = asked.await {
            break answer;
        }
        own.sleep(Duration::from_secs(1)).await;
    };
    flow(&own, cluster, time, stop);
}

fn flow(own: &Rc<Own>, cluster: String, time: DateTime<Utc>, stop: watch::Receiver<bool>) {
    let scenario = &own.world.scenario;
    let (inputs, inputs_rx) = mpsc::unbounded_channel();
    let (entries, entries_rx) = mpsc::unbounded_channel();
    let (drained, drained_rx) = mpsc::unbounded_channel();
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let (room, room_rx) = watch::channel(true);
    let (errands, errands_rx) = mpsc::unbounded_channel();
    let backlog = Backlog::default();
    let lease = Lease::new(own.now());
    let clock = DbClock::anchored(own.now(), time);
    let dispatcher = Dispatcher::new(
        DispatchSettings {
            lane: LaneSettings {
                spill_after: scenario.spill_after,
                breaker: BreakerSettings {
                    failures: 4,
                    probe_min: Duration::from_millis(50),
                    probe_max: Duration::from_millis(400),
                },
            },
            memory_deliveries: scenario.memory_deliveries,
            memory_bytes: 1 << 20,
            max_in_flight_total: scenario.max_in_flight_total,
            max_data_bytes: 1 << 18,
            grace: scenario.grace,
        },
        Outlets {
            errands: Box::new(move |errand| drop(errands.send(errand))),
            recorder: entries,
            backlog: backlog.clone(),
            drained,
            room,
            condition: watch::Sender::default(),
            lease: lease.clone(),
            clock: clock.clone(),
            metrics: Metrics::new(),
        },
        own.now(),
    );
    own.spawn(dispatch(
        Rc::clone(own),
        dispatcher,
        inputs_rx,
        errands_rx,
        inputs.clone(),
    ));
    let settings = RecorderSettings {
        flush_after: Duration::from_millis(20),
        flush_rows: scenario.flush_rows,
    };
    let recorder = Recorder::new(settings, backlog.clone());
    own.spawn(recorder::run(
        Rc::clone(own),
        recorder,
        entries_rx,
        inputs.clone(),
    ));
    own.spawn(maintenance::run(Rc::clone(own)));
    let (replays, of_replays) = mpsc::unbounded_channel();
    // Elsewhere they would find nothing, and cost every run a tenth of its time.
    if own.world.scenario.wishes.replays.is_some() {
        own.spawn(replays::run(Rc::clone(own), replays, inputs.clone()));
    }
    let settings = ReaderSettings {
        poll_min: Duration::from_millis(10),
        poll_max: Duration::from_millis(50),
        page_rows: scenario.page_rows,
        merchants: 1,
    };
    let reader = Reader::new(settings, clock.clone(), own.now());
    let reading = Reading {
        own: Rc::clone(own),
        dispatcher: inputs.clone(),
    };
    own.spawn(reading.run(reader, orders_rx, of_replays, room_rx));
    let settings = KeeperSettings {
        lease: scenario.lease,
        checkpoint_every: scenario.checkpoint_every,
        grace: scenario.grace,
    };
    let keeper = Keeper::new(settings, cluster, lease, backlog, clock, own.now());
    let keeping = Keeping {
        own: Rc::clone(own),
        lease: scenario.lease,
        dispatcher: inputs,
        reader: orders,
    };
    own.spawn(keeping.run(keeper, drained_rx, stop));
}

/// `worker::dispatching`.
async fn dispatch(
    own: Rc<Own>,
    mut dispatcher: Dispatcher,
    mut inputs: mpsc::UnboundedReceiver<Input>,
    mut errands: mpsc::UnboundedReceiver<Errand>,
    answers: mpsc::UnboundedSender<Input>,
) {
    const INPUTS: usize = 512;
    let mut taken = Vec::new();
    loop {
        let wake = dispatcher.next_wake().saturating_duration_since(own.now());
        tokio::select! {
            biased;
            count = inputs.recv_many(&mut taken, INPUTS) => if count == 0 { return },
            () = own.sleep(wake + Duration::from_nanos(1)) => {}
        }
        dispatcher.step(taken.drain(..), &|| own.now());
        while let Ok(errand) = errands.try_recv() {
            errands::run(&own, errand, answers.clone());
        }
        own.world
            .books
            .borrow_mut()
            .memory(&own.world, dispatcher.sums());
    }
}
