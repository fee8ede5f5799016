//! The loop between the feed and the wire: routes events into lanes, sends what the lanes
//! let go, hands what became of it to the recorder, and keeps the checkpoints.
//!
//! One task owns all of this state, so nothing here is locked, and nothing here waits: what
//! takes time is an [`errand`] of the worker's. What one delivery goes through there begins and
//! ends in [`attempt`].

mod announce;
pub mod attempt;
mod breaker;
mod checkpoint;
mod ended;
pub mod errand;
mod forgetting;
mod handover;
mod intake;
pub mod item;
mod landing;
mod lane;
mod lanes;
mod order;
mod pace;
mod refused;
mod service;
mod shelf;
#[cfg(test)]
mod tests;
mod throttle;
mod turns;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use self::announce::Announcer;
pub use self::breaker::BreakerSettings;
use self::errand::{Errand, Flights};
pub use self::lane::LaneSettings;
use self::lanes::Lanes;
pub use self::lanes::Sums;
use self::refused::Rowless;
use crate::dispatch::checkpoint::Checkpoints;
use crate::flow::DbClock;
use crate::flow::entry::{Backlog, ToRecord};
use crate::flow::input::Input;
use crate::flow::lease::Lease;
use crate::flow::shards::{Condition, Drained};
use crate::http::metrics::Metrics;
use crate::model::{DeliveryKey, Epoch, Shard};
use crate::route::Routes;

/// Nothing new is sent while so many outcomes wait to be recorded: they are what would be
/// sent twice after a crash.
const UNRECORDED_OUTCOMES: usize = 4096;

/// Nothing more is read while so many entries wait to be recorded, some 300 bytes each. More
/// than outcomes, because a burst for endpoints that hang becomes that many rows, and
/// what others are owed stands behind it in the log.
const UNRECORDED_ENTRIES: usize = 32_768;

/// The feed reads on while less than this share of the memory is in use: the rest is for
/// what a page fans out to.
const FEED_READS_BELOW: f64 = 0.5;

/// The most subscriptions in trouble that a heartbeat names.
const NAMED: usize = 1000;

/// How often the gauges are set.
const GAUGES: Duration = Duration::from_millis(500);

/// The limits of a worker's deliveries.
#[derive(Clone, Copy, Debug)]
pub struct DispatchSettings {
    /// How every lane behaves.
    pub lane: LaneSettings,
    /// The most deliveries that wait in memory,
    pub memory_deliveries: usize,
    /// and their bytes.
    pub memory_bytes: usize,
    /// Simultaneous sends of the whole worker.
    pub max_in_flight_total: usize,
    /// The largest data of an event, bytes: larger ones become posting errors.
    pub max_data_bytes: usize,
    /// How long a hand-over waits for what is in the air.
    pub grace: Duration,
}

/// Where the dispatcher's decisions go.
pub struct Outlets {
    /// To whoever does errands.
    pub errands: Box<dyn FnMut(Errand) + Send>,
    /// To the recorder.
    pub recorder: UnboundedSender<ToRecord>,
    /// What the recorder has before it.
    pub backlog: Backlog,
    /// To the keeper: shards that are drained, with their last checkpoint if they have
    /// moved on.
    pub drained: UnboundedSender<Drained>,
    /// To the feed: whether there is room for another page.
    pub room: watch::Sender<bool>,
    /// To the keeper: what it tells people with its heartbeat.
    pub condition: watch::Sender<Condition>,
    /// Until when anything may be sent.
    pub lease: Lease,
    /// The database's time at any instant.
    pub clock: DbClock,
    /// What is counted.
    pub metrics: Metrics,
}

/// Everything that a worker knows of its deliveries, and decides of them.
pub struct Dispatcher {
    settings: DispatchSettings,
    out: Outlets,
    routes: Routes,
    /// How many subscriptions the shards have, those that are not among the routes as well.
    subscriptions: usize,
    owned: HashMap<Shard, Owned>,
    /// How often this room was told of lost shards ([`Lease::is_valid`]).
    losses: u64,
    checkpoints: Checkpoints,
    /// Deliveries in memory that can have no row, as the database refuses it.
    rowless: HashMap<DeliveryKey, Rowless>,
    lanes: Lanes,
    sends: Flights,
    /// Shards being handed over, and until when what is in the air may take; none once it
    /// is cut off.
    draining: BTreeMap<Shard, Option<Instant>>,
    refills: usize,
    gauges_at: Instant,
    announcer: Announcer,
}

#[derive(Clone, Copy, Debug)]
struct Owned {
    epoch: Epoch,
    /// Entries of the shard that are not recorded yet.
    unrecorded: usize,
    /// Whether the log has been read as far as the last owner had read it.
    caught_up: bool,
}

impl Dispatcher {
    /// Makes a dispatcher that holds no shard yet.
    #[must_use]
    pub fn new(settings: DispatchSettings, out: Outlets, now: Instant) -> Self {
        Self {
            settings,
            out,
            routes: Routes::default(),
            subscriptions: 0,
            owned: HashMap::new(),
            losses: 0,
            checkpoints: Checkpoints::default(),
            rowless: HashMap::new(),
            lanes: Lanes::default(),
            sends: HashMap::new(),
            draining: BTreeMap::new(),
            refills: 0,
            gauges_at: now,
            announcer: Announcer::default(),
        }
    }

    /// Takes what has happened, and has everything done that follows from it. `clock` is
    /// this process's, and is looked at again before each send.
    pub fn step(&mut self, inputs: impl Iterator<Item = Input>, clock: &dyn Fn() -> Instant) {
        let now = clock();
        for input in inputs {
            self.take(input, now);
        }
        self.lanes.wake(now);
        self.give_turns(now, clock);
        self.finish_draining(now);
        self.tell_room();
        self.set_gauges(now);
    }

    /// When [`step`](Self::step) is to be called again if nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Instant {
        let lanes = self.lanes.next_wake();
        let grace = self.draining.values().flatten().min().copied();
        lanes
            .into_iter()
            .chain(grace)
            .chain([self.gauges_at])
            .min()
            .unwrap_or(self.gauges_at)
    }

    fn take(&mut self, input: Input, now: Instant) {
        match input {
            Input::Adopt(adoption) => self.adopt(adoption, now),
            Input::Subscriptions(changed) => self.configure(changed, now),
            Input::Counted(subscriptions) => self.subscriptions = subscriptions,
            Input::Page(page, taken) => self.route(page, taken, now),
            Input::Forget(merchants, answer) => {
                // The feed is gone only when the worker ends.
                let _ = answer.send(self.forget_idle(merchants));
            }
            Input::WindowRead { shards, end } => self.window_read(&shards, &end),
            Input::Drain(shards) => self.drain(&shards, now),
            Input::Lost(shards) => self.lose(&shards),
            Input::Checkpoints(answer) => {
                let moved = self.checkpoints.take_moved();
                let with_epochs = moved.into_iter().filter_map(|(shard, snapshot)| {
                    Some((shard, self.owned.get(&shard)?.epoch, snapshot))
                });
                // The keeper may have given up waiting; it will ask again.
                let _ = answer.send(with_epochs.collect());
            }
            Input::Landed(landed) => self.land(landed, now),
            Input::Waiting(waiting) => self.found_waiting(waiting, now),
            Input::Replays(waiting) => self.found_replays(waiting, now),
            Input::Recorded(recorded) => self.recorded(&recorded, now),
            Input::Refused(refused) => self.refused(*refused, now),
            Input::Refilled(answers) => self.refilled(answers, now),
            Input::Withdrawn(rows) => self.withdraw_rows(rows, now),
            Input::Ended {
                lane_id,
                subscription_id,
            } => self.ended(lane_id, subscription_id, now),
        }
    }

    /// What all lanes hold.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.lanes.sums()
    }

    fn pressure(&self) -> f64 {
        self.lanes
            .pressure(self.settings.memory_deliveries, self.settings.memory_bytes)
    }

    fn tell_room(&self) {
        let room =
            self.pressure() < FEED_READS_BELOW && self.out.backlog.len() < UNRECORDED_ENTRIES;
        self.out
            .room
            .send_if_modified(|before| std::mem::replace(before, room) != room);
    }

    fn set_gauges(&mut self, now: Instant) {
        if now < self.gauges_at {
            return;
        }
        self.gauges_at = now + GAUGES;
        let sums = self.sums();
        let metrics = &self.out.metrics;
        let unusable = self.routes.unusable_count();
        metrics.set_subscriptions(self.subscriptions.saturating_sub(unusable), unusable);
        metrics.set_queued(sums.queued, sums.bytes);
        metrics.set_in_flight(sums.in_flight);
        metrics.set_waiting(sums.waiting);
        metrics.set_breakers_open(sums.failing);
        metrics.set_told_to_wait(sums.told_to_wait);
        metrics.set_unrecorded(self.out.backlog.len());
        // The keeper is gone only when the worker ends.
        let _ = self.out.condition.send(Condition {
            in_flight: sums.in_flight,
            queued: sums.queued,
            breakers_open: self.lanes.failing().take(NAMED).collect(),
            unusable: self.routes.unusable().take(NAMED).collect(),
        });
    }
}
