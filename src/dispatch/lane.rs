//! The queue, limits and breaker of one subscription. A state machine without I/O:
//! deliveries, outcomes and a time go in, decisions come out.

mod rotation;
mod rows;
#[cfg(test)]
mod tests;
mod told;
mod transactions;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::rotation::Rotation;
use self::transactions::Barred;
use super::breaker::{Breaker, BreakerSettings};
use super::item::{Item, Series};
use super::pace::Pace;
use super::service::ServiceTime;
use super::shelf::Shelf;
use super::throttle::Throttle;
use crate::flow::input::RecordedKind;
use crate::model::{DeliveryKey, Order, Subscription, Verdict};

/// A lane keeps what its endpoint can take within this time; the rest goes to the
/// database. Long enough that a backlog of healthy endpoints fills the memory to where the
/// feed waits, on a machine that sends some 5,000 a second or more: with less, the feed
/// reads on and most of the backlog takes the way through the database, which costs
/// PostgreSQL twice as much.
const HORIZON: Duration = Duration::from_secs(3);

/// How soon a refill is tried again while the worker's memory is full.
const FULL: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
pub struct LaneSettings {
    /// What has waited or been in the air for this long gets a row.
    pub spill_after: Duration,
    pub breaker: BreakerSettings,
}

#[derive(Debug)]
pub struct Lane {
    pub subscription: Arc<Subscription>,
    pub shelf: Shelf,
    spill_after: Duration,
    /// Replays are at the end.
    queue: VecDeque<Item>,
    replays: usize,
    queued_bytes: usize,
    in_flight: BTreeMap<DeliveryKey, Flight>,
    /// What has a request in the air, where the order counts.
    busy: HashSet<Series>,
    breaker: Breaker,
    /// Boxed, as the next: most lanes have none.
    throttle: Option<Box<Throttle>>,
    pace: Option<Box<Pace>>,
    /// When the rate limit lets the next one through.
    paced_until: Option<Instant>,
    service: ServiceTime,
    rotation: Rotation,
    /// When the oldest delivery without a row came.
    oldest: Option<Instant>,
    draining: bool,
    /// Events of the log that are older than some of the rows are still to be read,
    behind_log: bool,
    /// or were just read, and their own rows are on their way.
    unsettled: bool,
    /// or are about to get theirs, as they had to leave memory without one.
    #[expect(
        clippy::box_collection,
        reason = "there are many lanes, hardly any has such, and an empty set takes 48 bytes"
    )]
    leaving: Option<Box<HashSet<DeliveryKey>>>,
    /// Events because of which rows that a refill may bring stay where they are.
    barred: Vec<Barred>,
}

#[derive(Debug)]
struct Flight {
    item: Item,
    /// A newer event of the transaction is there: a failure is not tried again.
    outdated: bool,
}

/// What a lane says to a fresh delivery.
#[derive(Debug)]
pub enum Offer {
    Queued,
    /// No room, or not its turn: the delivery belongs in the database.
    Shelved(Item),
}

/// What a send says of the endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub verdict: Verdict,
    /// Whether it was the credential that was refused.
    pub refused: bool,
    /// It takes nothing for so long, from whatever delivery.
    pub told_to_wait: Option<Duration>,
    pub took: Duration,
}

/// A delivery that came back from the wire.
#[derive(Debug)]
pub struct Landed {
    pub item: Item,
    pub outdated: bool,
}

impl Lane {
    #[must_use]
    pub fn new(
        subscription: Arc<Subscription>,
        settings: LaneSettings,
        behind_log: bool,
        now: Instant,
    ) -> Self {
        Self {
            pace: subscription.rate.map(|rate| Box::new(Pace::new(rate, now))),
            subscription,
            shelf: Shelf::default(),
            spill_after: settings.spill_after,
            queue: VecDeque::new(),
            replays: 0,
            queued_bytes: 0,
            in_flight: BTreeMap::new(),
            busy: HashSet::new(),
            breaker: Breaker::new(settings.breaker),
            throttle: None,
            paced_until: None,
            service: ServiceTime::new(now),
            rotation: Rotation::default(),
            oldest: None,
            draining: false,
            behind_log,
            unsettled: false,
            leaving: None,
            barred: Vec::new(),
        }
    }

    /// Takes a new revision of the subscription.
    pub fn configure(&mut self, subscription: Arc<Subscription>, now: Instant) {
        if self.subscription.rate != subscription.rate {
            self.pace = subscription.rate.map(|rate| Box::new(Pace::new(rate, now)));
            self.paced_until = None;
        }
        if !subscription.retry.honour_retry_after {
            self.throttle = None;
        }
        self.rotation = Rotation::default();
        self.subscription = subscription;
        if self.shelf.all_rows() > 0 {
            self.shelf.due_at(now);
        }
    }

    /// The log has been read as far as the shard's last owner had read it.
    pub fn caught_up(&mut self) {
        self.behind_log = false;
        self.unsettled = self.shelf.is_unrecorded();
    }

    /// A fresh delivery. `pressure` is the share of the worker's memory in use, 0 to 1.
    pub fn offer(&mut self, item: Item, pressure: f64, now: Instant) -> Offer {
        if self.must_shelve() || !self.has_room(pressure, now) {
            self.shelf.shelve(item.key);
            return Offer::Shelved(item);
        }
        self.oldest = Some(
            self.oldest
                .map_or(item.since, |oldest| oldest.min(item.since)),
        );
        self.push(item);
        Offer::Queued
    }

    /// Behind older rows a fresh delivery would jump the queue. In an ordered lane any
    /// row may be an older event of the same transaction.
    fn must_shelve(&self) -> bool {
        self.draining
            || self.subscription.is_held()
            || self.shelf.is_behind()
            || (self.is_ordered() && self.shelf.rows() > 0)
    }

    fn has_room(&self, pressure: f64, now: Instant) -> bool {
        let queued = self.queue.len() - self.replays;
        queued < self.free_slots(now) || queued < self.capacity(pressure, now)
    }

    /// How many deliveries the endpoint can take within the horizon.
    fn capacity(&self, pressure: f64, now: Instant) -> usize {
        if self.is_stalled(now) {
            return 0;
        }
        let rate = self
            .service
            .rate(self.limit(now), !self.in_flight.is_empty(), now);
        let asked_for = self.throttle.as_deref().and_then(Throttle::rate);
        let limits = self.subscription.rate.into_iter().chain(asked_for);
        let rate = limits.fold(rate, f64::min);
        let capacity = rate * HORIZON.as_secs_f64() * (1.0 - pressure).max(0.0);
        // Finite and not negative; more than memory holds is cut by `pressure`.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "see above"
        )]
        let capacity = capacity as usize;
        capacity
    }

    /// Whether nothing says that the endpoint takes more than what is sent to it now.
    fn is_stalled(&self, now: Instant) -> bool {
        let is_silent = !self.in_flight.is_empty() && now >= self.service.silent_at();
        is_silent || self.breaker.is_open() || self.is_told_to_wait()
    }

    fn limit(&self, now: Instant) -> u16 {
        let limit = self.breaker.limit(self.subscription.max_in_flight, now);
        match &self.throttle {
            Some(throttle) => throttle.limit(limit, now),
            None => limit,
        }
    }

    fn free_slots(&self, now: Instant) -> usize {
        usize::from(self.limit(now)).saturating_sub(self.in_flight.len())
    }

    /// How many replays may be in the air: half of what may be at all, so that what an event
    /// causes itself finds a place at once.
    fn replay_slots(&self, now: Instant) -> usize {
        usize::from(self.limit(now)).div_ceil(2)
    }

    /// Whether the one at this place of the queue is a replay that has to wait for others.
    fn is_replay_too_many(&self, at: usize, now: Instant) -> bool {
        let flying = || self.in_flight.keys().filter(|key| key.is_replay()).count();
        at >= self.queue.len() - self.replays && flying() >= self.replay_slots(now)
    }

    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.subscription.order == Order::Transaction
    }

    /// The next delivery that may go out now; it counts as in the air from here on.
    pub fn next(&mut self, now: Instant) -> Option<Item> {
        if self.draining || self.subscription.is_held() || self.free_slots(now) == 0 {
            return None;
        }
        let at = if self.busy.is_empty() {
            (!self.queue.is_empty()).then_some(0)
        } else {
            self.queue
                .iter()
                .position(|item| !self.busy.contains(&item.series()))
        }?;
        if self.is_replay_too_many(at, now) {
            return None;
        }
        let asked_for = self.throttle.as_ref().and_then(|it| it.not_before(now));
        let allowed = asked_for.map_or(Ok(()), Err);
        let allowed = allowed.and_then(|()| match &self.pace {
            Some(pace) => pace.take(now),
            None => Ok(()),
        });
        self.paced_until = allowed.err();
        if self.paced_until.is_some() {
            return None;
        }
        if let Some(throttle) = &mut self.throttle {
            throttle.sent(now);
        }
        let mut item = self.remove(at)?;
        let has_previous = self.subscription.auth_previous.is_some();
        item.trial = self.rotation.next(item.key, has_previous);
        if self.is_ordered() {
            self.busy.insert(item.series());
        }
        if self.in_flight.is_empty() {
            self.service.began(now);
        }
        self.in_flight.insert(
            item.key,
            Flight {
                item: item.clone(),
                outdated: false,
            },
        );
        Some(item)
    }

    /// A delivery in memory that a disabled subscription withdraws.
    pub fn next_to_cancel(&mut self) -> Option<Item> {
        if self.subscription.enabled {
            None
        } else {
            self.remove(0)
        }
    }

    /// A send came back. `answered` is none where nothing went over the wire.
    pub fn landed(
        &mut self,
        key: DeliveryKey,
        answered: Option<Answered>,
        now: Instant,
    ) -> Option<Landed> {
        let Flight { item, outdated } = self.in_flight.remove(&key)?;
        self.busy.remove(&item.series());
        if let Some(Answered {
            verdict,
            refused,
            told_to_wait,
            took,
        }) = answered
        {
            self.service.answered(took, now);
            let other_is_tried = self.rotation.landed(key, item.trial, verdict, refused);
            self.heed(told_to_wait, verdict, now);
            match verdict {
                // It works, and says when it takes more.
                _ if told_to_wait.is_some() => {}
                // It is the credential that failed, not the endpoint.
                _ if other_is_tried => {}
                // An answer that ends the delivery is an endpoint that works.
                Verdict::Delivered | Verdict::GiveUp | Verdict::Disable => {
                    self.breaker.succeeded(self.subscription.max_in_flight);
                }
                Verdict::Retry => self.breaker.failed(now),
            }
        }
        Some(Landed { item, outdated })
    }

    /// Sends nothing more, and gives up what waits.
    pub fn drain(&mut self) -> Vec<Item> {
        self.draining = true;
        self.take_queued(|_| true)
    }

    /// The recorder has written an entry of this lane: when to look for rows again.
    pub fn recorded(&mut self, key: DeliveryKey, kind: RecordedKind, now: Instant) {
        if matches!(
            kind,
            RecordedKind::SupersededOlder
                | RecordedKind::Retry(_)
                | RecordedKind::Refused
                | RecordedKind::Fenced
        ) {
            self.bar_is_written(key);
        }
        self.unsettled &= self.shelf.is_unrecorded();
        if let Some(leaving) = &mut self.leaving {
            leaving.remove(&key);
            self.leaving.take_if(|leaving| leaving.is_empty());
        }
        match kind {
            RecordedKind::Retry(due) => self.shelf.due_at(due),
            RecordedKind::Spilled | RecordedKind::SupersededOlder | RecordedKind::Refused
                if self.shelf.all_rows() > 0 =>
            {
                self.shelf.due_at(now);
            }
            // The next event of the transaction may wait for this one.
            RecordedKind::Finished(_) if self.is_ordered() && self.shelf.all_rows() > 0 => {
                self.shelf.due_at(now);
            }
            _ => {}
        }
    }

    /// Gives up what is in the air: nobody waits for the answers any more.
    pub fn cut_off(&mut self) -> Vec<Item> {
        self.busy.clear();
        std::mem::take(&mut self.in_flight)
            .into_values()
            .map(|flight| flight.item)
            .collect()
    }

    /// When the lane should be looked at again if nothing else happens.
    #[must_use]
    pub fn wake_at(&self, pressure: f64, now: Instant) -> Option<Instant> {
        let waiting = !self.queue.is_empty() && !self.subscription.is_held() && !self.draining;
        let told = self.throttle.as_deref().and_then(Throttle::waits_until);
        let probes = [self.breaker.next_probe(), told].map(|it| it.filter(|probe| *probe > now));
        let probe = probes.into_iter().flatten().max();
        let silent = Some(self.service.silent_at()).filter(|silent| *silent > now);
        // Without room, what makes some is an answer, and that is an occasion by itself;
        // that the other lanes' deliveries leave memory is not.
        let refill = |due: Option<Instant>, room: usize| {
            due.and_then(|due| {
                if due > now || room > 0 {
                    Some(due)
                } else {
                    (pressure >= 1.0).then(|| now + FULL)
                }
            })
        };
        [
            self.paced_until.filter(|_| waiting),
            probe.filter(|_| waiting || self.shelf.all_rows() > 0),
            refill(self.shelf.next_due(), self.refill_room(pressure, now)),
            refill(self.shelf.next_replay(), self.replay_room(pressure, now)),
            self.oldest.map(|oldest| oldest + self.spill_after),
            silent.filter(|_| waiting && !self.in_flight.is_empty()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.queued_bytes)
    }

    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether the delivery is in memory.
    #[must_use]
    pub fn holds(&self, key: DeliveryKey) -> bool {
        self.in_flight.contains_key(&key) || self.queue.iter().any(|item| item.key == key)
    }

    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.breaker.is_open()
    }

    fn push(&mut self, item: Item) {
        self.queued_bytes += item.bytes();
        if item.key.is_replay() {
            self.replays += 1;
            self.queue.push_back(item);
        } else {
            let behind_others = self.queue.len() - self.replays;
            self.queue.insert(behind_others, item);
        }
    }

    fn remove(&mut self, at: usize) -> Option<Item> {
        let item = self.queue.remove(at)?;
        self.queued_bytes -= item.bytes();
        self.replays -= usize::from(item.key.is_replay());
        Some(item)
    }

    fn take_queued(&mut self, wanted: impl Fn(&Item) -> bool) -> Vec<Item> {
        let (taken, kept): (VecDeque<Item>, VecDeque<Item>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(wanted);
        self.queue = kept;
        self.queued_bytes -= taken.iter().map(Item::bytes).sum::<usize>();
        self.replays -= taken.iter().filter(|item| item.key.is_replay()).count();
        taken.into()
    }
}
