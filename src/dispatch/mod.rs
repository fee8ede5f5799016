//! The loop between the feed and the wire: routes events into lanes, sends what the lanes
//! let go, hands what became of it to the recorder, and keeps the checkpoints.
//!
//! One task owns all of this state, so nothing here is locked. What it decides is in the
//! state machines beside it; what one delivery goes through is in [`deliver`].

mod breaker;
pub mod deliver;
pub mod input;
mod item;
mod lane;
mod lanes;
mod pace;
mod refill;
mod service;
mod shelf;

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use sqlx::PgPool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{error, info, warn};
use uuid::Uuid;

pub use self::breaker::BreakerSettings;
use self::deliver::{Delivering, Tried, age, deliver};
use self::input::{Adoption, Failed, Input, Landed, LaneRefill, Page, Recorded, RecordedKind};
use self::item::{Item, Row};
pub use self::lane::LaneSettings;
use self::lane::Offer;
use self::lanes::Lanes;
use self::refill::{RefillOrder, refill};
use crate::feed::checkpoint::{Checkpoints, PageId};
use crate::feed::lease::Lease;
use crate::http::metrics::Metrics;
use crate::model::{DeliveryKey, Epoch, Event, Shard, Snapshot, State, Subscription};
use crate::plan::Next;
use crate::record::{Backlog, ToRecord, fenced};
use crate::route::Routes;
use crate::store::ledger::{Attempt, Change, Entry};
use crate::store::pending::{RefillRequest, Waiting};

/// A lane sends so many before the next lane has its turn.
const TURN: usize = 8;

/// The last quarter of the sockets is for lanes with fewer than this in the air, so that
/// slow endpoints cannot take them all.
const FEW: usize = 4;

/// Nothing new is sent while so many outcomes wait to be recorded: they are what would be
/// sent twice after a crash.
const UNRECORDED: usize = 4096;

/// Refills that run at a time: each takes a connection.
const REFILLS: usize = 2;

/// How soon to ask again when the database did not answer a refill.
const REFILL_AGAIN: Duration = Duration::from_secs(1);

/// How many inputs are taken before the lanes have their turn.
const INPUTS: usize = 512;

/// How often the gauges are set.
const GAUGES: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
pub struct DispatchSettings {
    pub lane: LaneSettings,
    /// The most deliveries that wait in memory, and their bytes.
    pub memory_deliveries: usize,
    pub memory_bytes: usize,
    /// Simultaneous sends of the whole worker.
    pub max_in_flight_total: usize,
    /// Larger events become posting errors.
    pub max_data_bytes: usize,
    /// How long a hand-over waits for what is in the air.
    pub grace: Duration,
}

/// Where the dispatcher's decisions go.
pub struct Outlets {
    pub delivering: Delivering,
    pub pool: PgPool,
    pub recorder: UnboundedSender<ToRecord>,
    pub backlog: Backlog,
    /// To the keeper: shards that are drained, with their last checkpoint.
    pub drained: UnboundedSender<(Shard, Snapshot)>,
    /// To the feed: whether there is room for another page.
    pub room: watch::Sender<bool>,
    /// Back to the dispatcher itself: what its tasks bring.
    pub inputs: UnboundedSender<Input>,
    pub lease: Lease,
    pub metrics: Metrics,
}

pub struct Dispatcher {
    settings: DispatchSettings,
    out: Outlets,
    routes: Routes,
    owned: HashMap<Shard, Owned>,
    checkpoints: Checkpoints,
    lanes: Lanes,
    sends: HashMap<DeliveryKey, AbortHandle>,
    /// Shards being handed over, and until when what is in the air may take.
    draining: HashMap<Shard, Instant>,
    refills: usize,
    gauges_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Owned {
    epoch: Epoch,
    /// Entries of the shard that the recorder has not written yet.
    unrecorded: usize,
}

impl Dispatcher {
    #[must_use]
    pub fn new(settings: DispatchSettings, out: Outlets) -> Self {
        Self {
            settings,
            out,
            routes: Routes::default(),
            owned: HashMap::new(),
            checkpoints: Checkpoints::default(),
            lanes: Lanes::default(),
            sends: HashMap::new(),
            draining: HashMap::new(),
            refills: 0,
            gauges_at: Instant::now(),
        }
    }

    /// Runs until the feed and the keeper are gone. The channel is unbounded and yet
    /// small: the feed waits for room, and sends, refills and entries are limited here.
    pub async fn run(mut self, mut inputs: UnboundedReceiver<Input>) {
        let mut taken = Vec::with_capacity(INPUTS);
        loop {
            let wake = self.next_wake();
            tokio::select! {
                count = inputs.recv_many(&mut taken, INPUTS) => if count == 0 { return },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            let now = Instant::now();
            for input in taken.drain(..) {
                self.take(input, now);
            }
            self.lanes.wake(now);
            self.give_turns(now);
            self.finish_draining(now);
            self.tell_room();
            self.set_gauges(now);
        }
    }

    fn next_wake(&self) -> Instant {
        let lanes = self.lanes.next_wake();
        let grace = self.draining.values().min().copied();
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
            Input::Page(page) => self.route(page, now),
            Input::WindowRead { shards, end } => self.checkpoints.window_read(&shards, &end),
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
            Input::Recorded(recorded) => self.recorded(&recorded, now),
            Input::Refilled(answers) => self.refilled(answers, now),
        }
    }

    // ── what the feed brings ──────────────────────────────────────────────────────

    fn adopt(&mut self, adoption: Adoption, now: Instant) {
        for (shard, epoch, checkpoint) in adoption.shards {
            self.owned.insert(
                shard,
                Owned {
                    epoch,
                    unrecorded: 0,
                },
            );
            self.checkpoints.adopt(shard, checkpoint);
        }
        for subscription in adoption.subscriptions {
            self.routes.upsert(subscription);
        }
        self.found_waiting(adoption.waiting, now);
    }

    /// Opens the lanes of deliveries that wait in the database, and notes the next time.
    fn found_waiting(&mut self, waiting: Vec<Waiting>, now: Instant) {
        for Waiting {
            subscription_id: id,
            rows,
            due_in,
            ..
        } in waiting
        {
            let Some(subscription) = self.routes.get(id).cloned() else {
                continue;
            };
            self.open_lane(&subscription, now);
            self.lanes
                .with(id, |lane| lane.shelf.found(rows, now + due_in));
            self.lanes.look_at(id);
        }
    }

    fn configure(&mut self, changed: Vec<Arc<Subscription>>, now: Instant) {
        for subscription in changed {
            let known = self.routes.get(subscription.id).map(|known| known.revision);
            let ours = self.owned.contains_key(&subscription.shard);
            if ours && known.is_none_or(|known| known <= subscription.revision) {
                self.lanes.with(subscription.id, |lane| {
                    lane.configure(Arc::clone(&subscription), now)
                });
                self.lanes.look_at(subscription.id);
                self.routes.upsert(subscription);
            }
        }
    }

    fn route(&mut self, page: Page, now: Instant) {
        let Page {
            events,
            known,
            taken,
        } = page;
        self.out.metrics.events_read(events.len() as u64);
        let id = self.checkpoints.next_page();
        let mut routed: Vec<(Arc<Subscription>, Arc<Event>)> = Vec::with_capacity(events.len());
        for event in events
            .into_iter()
            .filter(|event| self.owned.contains_key(&event.shard))
        {
            let event = Arc::new(event);
            let wanted = self.routes.matches(&event).filter(|subscription| {
                known.is_empty() || !known.contains(&first_delivery(&event, subscription))
            });
            routed
                .extend(wanted.map(|subscription| (Arc::clone(subscription), Arc::clone(&event))));
        }
        let mut counts: HashMap<Shard, usize> = HashMap::new();
        for (_, event) in &routed {
            *counts.entry(event.shard).or_default() += 1;
        }
        for (shard, count) in counts {
            self.checkpoints.page_read(shard, id, count);
        }
        self.out.metrics.deliveries_routed(routed.len() as u64);
        for (subscription, event) in routed {
            self.offer(&subscription, event, id, now);
        }
        // The feed may be gone by now, at the end.
        let _ = taken.send(());
    }

    fn offer(
        &mut self,
        subscription: &Arc<Subscription>,
        event: Arc<Event>,
        page: PageId,
        now: Instant,
    ) {
        let item = Item {
            key: first_delivery(&event, subscription),
            event,
            attempts: 0,
            row: Row::None,
            page: Some(page),
            since: now,
        };
        self.open_lane(subscription, now);
        if item.event.data.len() > self.settings.max_data_bytes {
            let reason = format!(
                "the event's data has {} bytes; worker.max_data_bytes allows {}",
                item.event.data.len(),
                self.settings.max_data_bytes
            );
            self.finish(&item, State::PostingError, 0, Some(reason), None);
            return;
        }
        if subscription.supersede && self.supersede(&item) {
            return;
        }
        let pressure = self.pressure();
        match self
            .lanes
            .with(subscription.id, |lane| lane.offer(item, pressure, now))
        {
            Some(Offer::Shelved(item)) => self.spill(&item),
            Some(Offer::Queued) | None => {}
        }
        self.lanes.look_at(subscription.id);
    }

    /// Makes way for the delivery; true if it is itself the older one and has ended.
    fn supersede(&mut self, item: &Item) -> bool {
        let id = item.key.subscription_id;
        let Some(result) = self.lanes.with(id, |lane| lane.supersede(&item.event)) else {
            return false;
        };
        for dropped in &result.dropped {
            self.finish_superseded(dropped, dropped.attempts, None);
        }
        if result.look_in_rows {
            self.record(
                item,
                None,
                Change::SupersedeOlder {
                    except: result.in_the_air,
                },
                None,
            );
        }
        if result.stale {
            self.finish_superseded(item, item.attempts, None);
        }
        result.stale
    }

    fn open_lane(&mut self, subscription: &Arc<Subscription>, now: Instant) {
        if self.owned.contains_key(&subscription.shard) {
            self.lanes.open(subscription, self.settings.lane, now);
        }
    }

    // ── what the lanes let go ─────────────────────────────────────────────────────

    /// Each lane in the row has its turn, as long as there are sockets and the recorder
    /// keeps up.
    fn give_turns(&mut self, now: Instant) {
        let mut order = RefillOrder::default();
        let mut held_back = Vec::new();
        while let Some(id) = self.lanes.next_in_row() {
            if self.give_turn(id, &mut order, now) {
                held_back.push(id);
            }
        }
        for id in held_back {
            self.lanes.look_at(id);
        }
        if !order.lanes.is_empty() {
            self.refills += 1;
            let Outlets {
                pool,
                inputs,
                metrics,
                ..
            } = &self.out;
            tokio::spawn(refill(pool.clone(), order, inputs.clone(), metrics.clone()));
        }
    }

    /// Returns whether the lane has more to send than the worker can take now; its turn
    /// comes again with the next input.
    fn give_turn(&mut self, id: Uuid, order: &mut RefillOrder, now: Instant) -> bool {
        let pressure = self.pressure();
        while let Some(Some(item)) = self.lanes.with(id, lane::Lane::next_to_cancel) {
            let reason = "the subscription was disabled".to_owned();
            self.finish(&item, State::Cancelled, item.attempts, Some(reason), None);
        }
        for item in self
            .lanes
            .with(id, |lane| lane.overdue(now))
            .unwrap_or_default()
        {
            self.spill(&item);
        }
        let mut sent = 0;
        let held_back = loop {
            if !self.may_send(id) {
                break true;
            }
            if sent == TURN {
                self.lanes.look_at(id);
                return false;
            }
            match self.lanes.with(id, |lane| lane.next(now)) {
                Some(Some(item)) => self.send(item, id),
                Some(None) | None => break false,
            }
            sent += 1;
        };
        if self.refills < REFILLS
            && !order.is_full()
            && let Some(Some((request, held))) = self.lanes.with(id, |lane| {
                let (room, held) = lane.begin_refill(pressure, now)?;
                let request = RefillRequest {
                    shard: lane.subscription.shard,
                    subscription_id: id,
                    room: i64::try_from(room).unwrap_or(i64::MAX),
                    heads_only: lane.is_ordered(),
                };
                Some((request, held))
            })
        {
            order.lanes.push(request);
            order.held.extend(held);
        }
        let at = self
            .lanes
            .with(id, |lane| lane.wake_at(pressure, now))
            .flatten();
        // A refill that had to wait for another one is due already: look again soon, not
        // at once.
        self.lanes
            .schedule(id, at.map(|at| at.max(now + Duration::from_millis(1))));
        held_back
            && self
                .lanes
                .with(id, |lane| lane.queued().0 > 0)
                .unwrap_or(false)
    }

    fn may_send(&mut self, id: Uuid) -> bool {
        let most = self.settings.max_in_flight_total;
        let in_flight = self.lanes.in_flight();
        self.out.backlog.len() < UNRECORDED
            && self.out.lease.is_valid(Instant::now())
            && in_flight < most
            && (in_flight < most / 4 * 3
                || self
                    .lanes
                    .with(id, |lane| lane.in_flight() < FEW)
                    .unwrap_or(false))
    }

    fn send(&mut self, item: Item, id: Uuid) {
        let Some(subscription) = self.lanes.with(id, |lane| Arc::clone(&lane.subscription)) else {
            return;
        };
        if item.attempts == 0 {
            let waited = age(item.event.created_at, self.out.delivering.clock.now());
            self.out.metrics.first_attempt(waited);
        }
        let delivering = self.out.delivering.clone();
        let inputs = self.out.inputs.clone();
        let key = item.key;
        let task = tokio::spawn(async move {
            let began = Instant::now();
            // The lane keeps the delivery's place until it lands: it must, come what may.
            let result = AssertUnwindSafe(deliver(&delivering, &item, &subscription))
                .catch_unwind()
                .await
                .map_or(Err(Failed::Panicked), |tried| tried.map_err(Failed::from));
            // The dispatcher is gone only when the worker ends.
            let _ = inputs.send(Input::Landed(Landed {
                key,
                took: began.elapsed(),
                result,
            }));
        });
        self.sends.insert(key, task.abort_handle());
    }

    // ── what comes back ───────────────────────────────────────────────────────────

    fn land(&mut self, landed: Landed, now: Instant) {
        let Landed { key, took, result } = landed;
        self.sends.remove(&key);
        let verdict = result.as_ref().ok().map(|tried| tried.verdict);
        let id = key.subscription_id;
        let Some(Some(landed)) = self
            .lanes
            .with(id, |lane| lane.landed(key, verdict, took, now))
        else {
            return;
        };
        self.lanes.look_at(id);
        let lane::Landed { item, outdated } = landed;
        match result {
            Ok(Tried { attempt, next, .. }) => {
                self.out.metrics.attempt(attempt.outcome, attempt.duration);
                let attempts = attempt.number;
                match next {
                    Next::Delivered => {
                        self.finish(&item, State::Delivered, attempts, None, Some(attempt))
                    }
                    Next::RetryIn(_) if outdated => {
                        self.finish_superseded(&item, attempts, Some(attempt))
                    }
                    Next::RetryIn(delay) => self.retry(&item, delay, attempt),
                    Next::PostingError(ending) => {
                        let reason = format!("{ending}; the last: {}", attempt.reason);
                        self.finish(
                            &item,
                            State::PostingError,
                            attempts,
                            Some(reason),
                            Some(attempt),
                        );
                    }
                }
            }
            Err(failed) => {
                if matches!(failed, Failed::Panicked) {
                    error!(event = %key.event_id, subscription = %id, "sending this delivery panicked");
                }
                let reason = Some(failed.to_string());
                self.finish(&item, State::PostingError, item.attempts, reason, None);
            }
        }
    }

    fn finish(
        &mut self,
        item: &Item,
        state: State,
        attempts: u32,
        reason: Option<String>,
        attempt: Option<Attempt>,
    ) {
        self.out.metrics.finished(state);
        let had_row = item.row != Row::None;
        if had_row {
            self.lanes.with(item.key.subscription_id, |lane| {
                lane.shelf.row_changes(item.key)
            });
        }
        self.record(
            item,
            item.page,
            Change::Finish {
                state,
                attempts,
                reason,
                had_row,
            },
            attempt,
        );
    }

    fn finish_superseded(&mut self, item: &Item, attempts: u32, attempt: Option<Attempt>) {
        let reason = "a newer event of the transaction took its place".to_owned();
        self.finish(item, State::Superseded, attempts, Some(reason), attempt);
    }

    fn retry(&mut self, item: &Item, delay: Duration, attempt: Attempt) {
        self.out.metrics.retry_planned();
        let id = item.key.subscription_id;
        let transaction_id = &item.event.transaction_id;
        let followers = self
            .lanes
            .with(id, |lane| lane.await_retry(transaction_id))
            .unwrap_or_default();
        if item.row != Row::None {
            self.lanes.with(id, |lane| lane.shelf.row_changes(item.key));
        }
        let (attempts, reason) = (attempt.number, attempt.reason.clone());
        self.record(
            item,
            item.page,
            Change::Retry {
                attempts,
                delay,
                reason,
            },
            Some(attempt),
        );
        for follower in &followers {
            self.spill(follower);
        }
    }

    /// Gives a delivery its row, if it has none yet.
    fn spill(&mut self, item: &Item) {
        if item.row == Row::None {
            self.out.metrics.spilled(1);
            self.record(item, item.page, Change::Spill, None);
        } else {
            let now = Instant::now();
            self.lanes
                .with(item.key.subscription_id, |lane| lane.shelf.due_at(now));
        }
    }

    fn record(
        &mut self,
        item: &Item,
        page: Option<PageId>,
        change: Change,
        attempt: Option<Attempt>,
    ) {
        let Some(owned) = self.owned.get_mut(&item.event.shard) else {
            return;
        };
        owned.unrecorded += 1;
        let epoch = owned.epoch;
        self.out.backlog.add(1);
        self.lanes.with(item.key.subscription_id, |lane| {
            lane.shelf.handed_to_recorder()
        });
        let entry = Entry {
            key: item.key,
            shard: item.event.shard,
            epoch,
            transaction_id: item.event.transaction_id.clone(),
            change,
            attempt,
        };
        if self.out.recorder.send(ToRecord { entry, page }).is_err() {
            error!("the recorder has ended before the dispatcher; outcomes are lost");
        }
    }

    fn recorded(&mut self, recorded: &[Recorded], now: Instant) {
        let pressure = self.pressure();
        let mut spilled: HashMap<Uuid, HashSet<DeliveryKey>> = HashMap::new();
        for Recorded {
            key,
            shard,
            page,
            kind,
        } in recorded
        {
            if let Some(owned) = self.owned.get_mut(shard) {
                owned.unrecorded = owned.unrecorded.saturating_sub(1);
            }
            if let Some(page) = page
                && *kind != RecordedKind::Fenced
            {
                self.checkpoints.settle(*shard, *page);
            }
            let id = key.subscription_id;
            self.lanes.with(id, |lane| {
                lane.shelf.recorded(*key);
                lane.recorded(*kind, now);
            });
            if *kind == RecordedKind::Spilled {
                spilled.entry(id).or_default().insert(*key);
            }
            self.lanes.look_at(id);
        }
        for (id, keys) in spilled {
            self.lanes
                .with(id, |lane| lane.rows_written(&keys, pressure, now));
        }
        let lost: Vec<Shard> = fenced(recorded).into_iter().collect();
        if !lost.is_empty() {
            let entries = recorded
                .iter()
                .filter(|entry| entry.kind == RecordedKind::Fenced)
                .count();
            self.out.metrics.fenced_off(entries as u64);
            warn!(
                ?lost,
                entries, "outcomes of shards that another worker owns were not written"
            );
        }
    }

    fn refilled(&mut self, answers: Vec<LaneRefill>, now: Instant) {
        self.refills = self.refills.saturating_sub(1);
        for LaneRefill {
            subscription_id: id,
            found,
            next_due_in,
        } in answers
        {
            self.lanes.look_at(id);
            let Some(found) = found else {
                self.lanes
                    .with(id, |lane| lane.shelf.refill_failed(now + REFILL_AGAIN));
                continue;
            };
            self.out.metrics.refilled(found.len() as u64);
            let items = found.into_iter().map(|row| Item {
                key: row.key,
                event: row.event,
                attempts: row.attempts,
                row: Row::Written,
                page: None,
                since: now,
            });
            let items: Vec<Item> = items.collect();
            let next_due = next_due_in.map(|due_in| now + due_in);
            self.lanes
                .with(id, |lane| lane.refilled(items, next_due, now));
        }
    }

    // ── shards that go ────────────────────────────────────────────────────────────

    fn drain(&mut self, shards: &[Shard], now: Instant) {
        for shard in self.ours(shards) {
            self.draining.insert(shard, now + self.settings.grace);
            for id in self.lanes.of_shard(shard) {
                for item in self.lanes.with(id, lane::Lane::drain).unwrap_or_default() {
                    self.spill(&item);
                }
            }
        }
    }

    /// Hands over the shards of which nothing is in the air or only in memory any more.
    /// At the end of the grace period what is in the air is cut off; it has its row.
    fn finish_draining(&mut self, now: Instant) {
        let draining: Vec<(Shard, Instant)> = self
            .draining
            .iter()
            .map(|(shard, until)| (*shard, *until))
            .collect();
        for (shard, until) in draining {
            let lanes = self.lanes.of_shard(shard);
            if now >= until {
                for id in &lanes {
                    self.cut_off(*id);
                }
            }
            let in_the_air = lanes
                .iter()
                .any(|id| self.lanes.with(*id, |lane| lane.in_flight() > 0) == Some(true));
            if !in_the_air
                && self
                    .owned
                    .get(&shard)
                    .is_none_or(|owned| owned.unrecorded == 0)
                && self.checkpoints.is_settled(shard)
                && let Some(checkpoint) = self.checkpoints.checkpoint(shard).cloned()
            {
                self.forget(shard);
                // The keeper is gone only when the worker ends.
                let _ = self.out.drained.send((shard, checkpoint));
            }
        }
    }

    fn cut_off(&mut self, id: Uuid) {
        let cut = self.lanes.with(id, lane::Lane::cut_off).unwrap_or_default();
        for item in cut {
            if let Some(send) = self.sends.remove(&item.key) {
                send.abort();
            }
            self.spill(&item);
        }
    }

    fn lose(&mut self, shards: &[Shard]) {
        for shard in self.ours(shards) {
            for id in self.lanes.of_shard(shard) {
                for item in self.lanes.with(id, lane::Lane::cut_off).unwrap_or_default() {
                    if let Some(send) = self.sends.remove(&item.key) {
                        send.abort();
                    }
                }
            }
            self.forget(shard);
        }
        info!(
            ?shards,
            "stopped sending for shards that are no longer ours"
        );
    }

    fn ours(&self, shards: &[Shard]) -> Vec<Shard> {
        shards
            .iter()
            .copied()
            .filter(|shard| self.owned.contains_key(shard))
            .collect()
    }

    fn forget(&mut self, shard: Shard) {
        for id in self.lanes.of_shard(shard) {
            self.lanes.close(id);
        }
        self.draining.remove(&shard);
        self.routes.remove_shard(shard);
        self.checkpoints.drop_shard(shard);
        self.owned.remove(&shard);
    }

    // ── room ──────────────────────────────────────────────────────────────────────

    fn pressure(&self) -> f64 {
        self.lanes
            .pressure(self.settings.memory_deliveries, self.settings.memory_bytes)
    }

    /// The feed reads on while less than half of the memory is in use: the other half is
    /// for what a page fans out to, and for refills.
    fn tell_room(&self) {
        let room = self.pressure() < 0.5 && self.out.backlog.len() < UNRECORDED;
        self.out
            .room
            .send_if_modified(|before| std::mem::replace(before, room) != room);
    }

    fn set_gauges(&mut self, now: Instant) {
        if now < self.gauges_at {
            return;
        }
        self.gauges_at = now + GAUGES;
        let sums = self.lanes.sums();
        let metrics = &self.out.metrics;
        metrics.set_queued(sums.queued, sums.bytes);
        metrics.set_in_flight(sums.in_flight);
        metrics.set_waiting(sums.waiting);
        metrics.set_breakers_open(sums.failing);
        metrics.set_unrecorded(self.out.backlog.len());
    }
}

/// The delivery that an event itself causes.
fn first_delivery(event: &Event, subscription: &Subscription) -> DeliveryKey {
    DeliveryKey {
        event_id: event.id,
        subscription_id: subscription.id,
        generation: 0,
    }
}
