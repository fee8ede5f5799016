//! The queue, limits and breaker of one subscription. A state machine without I/O:
//! deliveries, outcomes and a time go in, decisions come out.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breaker::{Breaker, BreakerSettings};
use super::input::RecordedKind;
use super::item::{Item, Row};
use super::pace::Pace;
use super::service::ServiceTime;
use super::shelf::Shelf;
use crate::model::{DeliveryKey, Event, Order, Subscription, Verdict};

/// A lane keeps what its endpoint can take within this time; the rest goes to the
/// database.
const HORIZON: Duration = Duration::from_secs(1);

/// The most rows that one refill brings: a refill is shared by many lanes.
const REFILL: usize = 500;

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
    settings: LaneSettings,
    queue: VecDeque<Item>,
    queued_bytes: usize,
    in_flight: HashMap<DeliveryKey, Flight>,
    /// Transactions with a request in the air, where their order counts.
    busy: HashSet<Box<str>>,
    breaker: Breaker,
    pace: Option<Pace>,
    /// When the rate limit lets the next one through.
    paced_until: Option<Instant>,
    service: ServiceTime,
    /// When the oldest delivery without a row came.
    oldest: Option<Instant>,
    draining: bool,
    /// Newer events that came during a refill, which may bring what they replace.
    replaced: Vec<Arc<Event>>,
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

/// What a newer event does to the older ones of its transaction.
#[derive(Debug, Default)]
pub struct Superseded {
    /// They waited in memory.
    pub dropped: Vec<Item>,
    /// More may wait in the database, but for the one in the air.
    pub look_in_rows: bool,
    pub in_the_air: Option<DeliveryKey>,
    /// It is itself older than one that is there.
    pub stale: bool,
}

/// A delivery that came back from the wire.
#[derive(Debug)]
pub struct Landed {
    pub item: Item,
    pub outdated: bool,
}

impl Lane {
    #[must_use]
    pub fn new(subscription: Arc<Subscription>, settings: LaneSettings, now: Instant) -> Self {
        Self {
            pace: subscription.rate.map(|rate| Pace::new(rate, now)),
            subscription,
            shelf: Shelf::default(),
            settings,
            queue: VecDeque::new(),
            queued_bytes: 0,
            in_flight: HashMap::new(),
            busy: HashSet::new(),
            breaker: Breaker::new(settings.breaker),
            paced_until: None,
            service: ServiceTime::new(now),
            oldest: None,
            draining: false,
            replaced: Vec::new(),
        }
    }

    /// Takes a new revision of the subscription.
    pub fn configure(&mut self, subscription: Arc<Subscription>, now: Instant) {
        if self.subscription.rate != subscription.rate {
            self.pace = subscription.rate.map(|rate| Pace::new(rate, now));
            self.paced_until = None;
        }
        self.subscription = subscription;
        if self.shelf.rows() > 0 {
            self.shelf.due_at(now);
        }
    }

    /// A fresh delivery. `pressure` is the share of the worker's memory in use, 0 to 1.
    pub fn offer(&mut self, item: Item, pressure: f64, now: Instant) -> Offer {
        if self.must_shelve() || !self.has_room(pressure, now) {
            self.shelf.shelve();
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
        self.queue.len() < self.free_slots(now) || self.queue.len() < self.capacity(pressure, now)
    }

    /// How many deliveries the endpoint can take within the horizon.
    fn capacity(&self, pressure: f64, now: Instant) -> usize {
        let rate = self
            .service
            .rate(self.limit(now), !self.in_flight.is_empty(), now);
        let rate = self.subscription.rate.map_or(rate, |limit| rate.min(limit));
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

    fn limit(&self, now: Instant) -> u16 {
        self.breaker.limit(self.subscription.max_in_flight, now)
    }

    fn free_slots(&self, now: Instant) -> usize {
        usize::from(self.limit(now)).saturating_sub(self.in_flight.len())
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
                .position(|item| !self.busy.contains(&item.event.transaction_id))
        }?;
        if let Some(pace) = &self.pace
            && let Err(again) = pace.take(now)
        {
            self.paced_until = Some(again);
            return None;
        }
        self.paced_until = None;
        let item = self.remove(at)?;
        if self.is_ordered() {
            self.busy.insert(item.event.transaction_id.clone());
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

    /// A send came back. `verdict` is none where nothing went over the wire.
    pub fn landed(
        &mut self,
        key: DeliveryKey,
        verdict: Option<Verdict>,
        took: Duration,
        now: Instant,
    ) -> Option<Landed> {
        let Flight { item, outdated } = self.in_flight.remove(&key)?;
        self.busy.remove(&item.event.transaction_id);
        if let Some(verdict) = verdict {
            self.service.answered(took, now);
            match verdict {
                // An answer that ends the delivery is an endpoint that works.
                Verdict::Delivered | Verdict::GiveUp => {
                    self.breaker.succeeded(self.subscription.max_in_flight);
                }
                Verdict::Retry => self.breaker.failed(now),
            }
        }
        Some(Landed { item, outdated })
    }

    /// The delivery goes to the database until its next attempt. Where order counts, the
    /// events of its transaction that wait in memory follow it there.
    pub fn await_retry(&mut self, transaction_id: &str) -> Vec<Item> {
        self.shelf.await_retry();
        if !self.is_ordered() {
            return Vec::new();
        }
        let followers = self.take_queued(|item| *item.event.transaction_id == *transaction_id);
        for _ in &followers {
            self.shelf.shelve();
        }
        followers
    }

    /// Makes way for an event where newer ones replace older ones.
    pub fn supersede(&mut self, event: &Arc<Event>) -> Superseded {
        let same = |other: &Event| other.transaction_id == event.transaction_id;
        let mut result = Superseded {
            stale: self
                .queue
                .iter()
                .any(|item| same(&item.event) && item.event.id > event.id),
            look_in_rows: self.shelf.rows() > 0,
            ..Superseded::default()
        };
        for flight in self
            .in_flight
            .values_mut()
            .filter(|flight| same(&flight.item.event))
        {
            if flight.item.event.id > event.id {
                result.stale = true;
            } else {
                flight.outdated = true;
                result.in_the_air = Some(flight.item.key);
            }
        }
        result.dropped = self.take_queued(|item| same(&item.event) && item.event.id < event.id);
        if self.shelf.is_refilling() {
            self.replaced.push(Arc::clone(event));
        }
        result
    }

    /// How many rows the lane wants now, and which of its rows to pass over.
    pub fn begin_refill(
        &mut self,
        pressure: f64,
        now: Instant,
    ) -> Option<(usize, Vec<DeliveryKey>)> {
        let due = self.shelf.next_due().is_some_and(|due| due <= now);
        let room = self.refill_room(pressure, now);
        if !due || room == 0 {
            return None;
        }
        let in_memory = self
            .queue
            .iter()
            .chain(self.in_flight.values().map(|flight| &flight.item));
        let mut held: Vec<DeliveryKey> = in_memory
            .filter(|item| item.row != Row::None)
            .map(|item| item.key)
            .collect();
        held.extend(self.shelf.begin_refill(room));
        Some((room, held))
    }

    fn refill_room(&self, pressure: f64, now: Instant) -> usize {
        if self.draining || self.subscription.is_held() || pressure >= 1.0 {
            return 0;
        }
        if !self.subscription.enabled {
            return REFILL;
        }
        let capacity = self.capacity(pressure, now).max(self.free_slots(now));
        capacity.saturating_sub(self.queue.len()).min(REFILL)
    }

    /// Rows came back into memory; `next_due` is when the first of the others is due.
    pub fn refilled(&mut self, found: Vec<Item>, next_due: Option<Instant>, now: Instant) {
        let count = found.len();
        let in_queue: HashSet<DeliveryKey> = self.queue.iter().map(|item| item.key).collect();
        let mut taken = 0;
        for item in found {
            let elsewhere = in_queue.contains(&item.key)
                || self.in_flight.contains_key(&item.key)
                || self.shelf.is_changing(item.key)
                || self.replaced.iter().any(|newer| {
                    newer.transaction_id == item.event.transaction_id && newer.id > item.event.id
                });
            if !elsewhere {
                taken += 1;
                self.push(item);
            }
        }
        self.replaced.clear();
        self.shelf.end_refill(count, taken, next_due, now);
    }

    /// Deliveries that have been here without a row for too long: they get one, and stay.
    pub fn overdue(&mut self, now: Instant) -> Vec<Item> {
        let Some(limit) = now.checked_sub(self.settings.spill_after) else {
            return Vec::new();
        };
        if self.oldest.is_none_or(|oldest| oldest > limit) {
            return Vec::new();
        }
        let mut overdue = Vec::new();
        let mut oldest: Option<Instant> = None;
        let in_the_air = self.in_flight.values_mut().map(|flight| &mut flight.item);
        for item in self.queue.iter_mut().chain(in_the_air) {
            if item.row != Row::None {
                continue;
            }
            if item.since <= limit {
                overdue.push(item.clone());
                item.row = Row::Asked;
                item.page = None;
            } else {
                oldest = Some(oldest.map_or(item.since, |oldest| oldest.min(item.since)));
            }
        }
        self.oldest = oldest;
        overdue
    }

    /// The rows that `overdue` asked for are there. What the endpoint will not take soon
    /// leaves memory; its row brings it back.
    pub fn rows_written(&mut self, keys: &HashSet<DeliveryKey>, pressure: f64, now: Instant) {
        let in_the_air = self.in_flight.values_mut().map(|flight| &mut flight.item);
        for item in self.queue.iter_mut().chain(in_the_air) {
            if item.row == Row::Asked && keys.contains(&item.key) {
                item.row = Row::Written;
            }
        }
        let keep = self.capacity(pressure, now).max(self.free_slots(now));
        while self.queue.len() > keep
            && self
                .queue
                .back()
                .is_some_and(|item| item.row == Row::Written)
        {
            self.remove(self.queue.len() - 1);
            self.shelf.shelve();
            self.shelf.due_at(now);
        }
    }

    /// Sends nothing more, and gives up what waits.
    pub fn drain(&mut self) -> Vec<Item> {
        self.draining = true;
        self.take_queued(|_| true)
    }

    /// The recorder has written an entry of this lane: when to look for rows again.
    pub fn recorded(&mut self, kind: RecordedKind, now: Instant) {
        match kind {
            RecordedKind::Retry(due) => self.shelf.due_at(due),
            RecordedKind::Spilled | RecordedKind::SupersededOlder if self.shelf.rows() > 0 => {
                self.shelf.due_at(now);
            }
            // The next event of the transaction may wait for this one.
            RecordedKind::Finished(_) if self.is_ordered() && self.shelf.rows() > 0 => {
                self.shelf.due_at(now);
            }
            _ => {}
        }
    }

    /// Gives up what is in the air: nobody waits for the answers any more.
    pub fn cut_off(&mut self) -> Vec<Item> {
        self.busy.clear();
        self.in_flight
            .drain()
            .map(|(_, flight)| flight.item)
            .collect()
    }

    /// When the lane should be looked at again if nothing else happens.
    #[must_use]
    pub fn wake_at(&self, pressure: f64, now: Instant) -> Option<Instant> {
        let waiting = !self.queue.is_empty() && !self.subscription.is_held() && !self.draining;
        let probe = self.breaker.next_probe().filter(|probe| *probe > now);
        // Without room, what makes some is an answer, and that is an occasion by itself;
        // that the other lanes' deliveries leave memory is not.
        let refill = self.shelf.next_due().and_then(|due| {
            if due > now || self.refill_room(pressure, now) > 0 {
                Some(due)
            } else {
                (pressure >= 1.0).then(|| now + FULL)
            }
        });
        [
            self.paced_until.filter(|_| waiting),
            probe.filter(|_| waiting || self.shelf.rows() > 0),
            refill,
            self.oldest.map(|oldest| oldest + self.settings.spill_after),
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

    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.breaker.is_open()
    }

    fn push(&mut self, item: Item) {
        self.queued_bytes += item.bytes();
        self.queue.push_back(item);
    }

    fn remove(&mut self, at: usize) -> Option<Item> {
        let item = self.queue.remove(at)?;
        self.queued_bytes -= item.bytes();
        Some(item)
    }

    fn take_queued(&mut self, wanted: impl Fn(&Item) -> bool) -> Vec<Item> {
        let (taken, kept): (VecDeque<Item>, VecDeque<Item>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(wanted);
        self.queue = kept;
        self.queued_bytes -= taken.iter().map(Item::bytes).sum::<usize>();
        taken.into()
    }
}
