//! The queue, limits and breaker of one subscription. A state machine without I/O:
//! deliveries, outcomes and a time go in, decisions come out.

mod queue;
mod room;
mod rotation;
mod rows;
#[cfg(test)]
mod tests;
mod told;
mod transactions;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::rotation::Rotation;
use super::breaker::{Breaker, BreakerSettings};
use super::item::Item;
use super::order::OrderGuard;
use super::pace::Pace;
use super::service::ServiceTime;
use super::shelf::Shelf;
use super::throttle::Throttle;
use crate::flow::input::RecordedKind;
use crate::model::{DeliveryKey, Order, Subscription, Verdict};

/// How soon a refill is tried again while the worker's memory is full.
const FULL: Duration = Duration::from_millis(100);

/// How every lane of a worker behaves.
#[derive(Clone, Copy, Debug)]
pub struct LaneSettings {
    /// What has waited or been in the air for this long gets a row.
    pub spill_after: Duration,
    /// When an endpoint counts as failing, and how it is probed then.
    pub breaker: BreakerSettings,
}

/// What one subscription's deliveries wait in, and what lets them go.
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
    /// None in most lanes: where no order is asked for. Boxed, as the next two.
    order: Option<Box<OrderGuard>>,
    breaker: Breaker,
    throttle: Option<Box<Throttle>>,
    pace: Option<Box<Pace>>,
    /// When the rate limit lets the next one through.
    paced_until: Option<Instant>,
    service: ServiceTime,
    rotation: Rotation,
    /// When the oldest delivery without a row came.
    oldest: Option<Instant>,
    draining: bool,
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

/// A delivery that has landed.
#[derive(Debug)]
pub struct Landing {
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
            order: OrderGuard::of(&subscription, behind_log),
            subscription,
            shelf: Shelf::default(),
            spill_after: settings.spill_after,
            queue: VecDeque::new(),
            replays: 0,
            queued_bytes: 0,
            in_flight: BTreeMap::new(),
            breaker: Breaker::new(settings.breaker),
            throttle: None,
            paced_until: None,
            service: ServiceTime::new(now),
            rotation: Rotation::default(),
            oldest: None,
            draining: false,
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
        if let Some(guard) = &mut self.order {
            if !guard.configure(&subscription) {
                self.order = None;
            }
        } else {
            self.order = OrderGuard::of(&subscription, false);
        }
        self.subscription = subscription;
        if self.shelf.all_rows() > 0 {
            self.shelf.due_at(now);
        }
    }

    /// Events of the log that are older than some of the rows are still to be read.
    pub fn falls_behind_log(&mut self) {
        if let Some(guard) = &mut self.order {
            guard.falls_behind_log();
        }
    }

    /// The log has been read as far as the shard's last owner had read it.
    pub fn caught_up(&mut self) {
        if let Some(guard) = &mut self.order {
            guard.caught_up(self.shelf.is_unrecorded());
        }
    }

    /// Takes a fresh delivery, if there is room. `pressure` is the share of the worker's memory in
    /// use, 0 to 1.
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

    /// Behind older rows a fresh delivery would jump the queue.
    fn must_shelve(&self) -> bool {
        self.draining
            || self.subscription.is_held()
            || self.shelf.is_behind()
            || self
                .order
                .as_ref()
                .is_some_and(|it| !it.may_take_fresh(self.shelf.rows()))
    }

    /// Whether the events of a transaction go one after another.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.subscription.order == Order::Transaction
    }

    /// The next delivery that may go out now; it counts as in the air from here on.
    pub fn next(&mut self, now: Instant) -> Option<Item> {
        if self.draining || self.subscription.is_held() || self.free_slots(now) == 0 {
            return None;
        }
        let at = match &self.order {
            None => (!self.queue.is_empty()).then_some(0),
            Some(guard) => self.queue.iter().position(|item| guard.may_send(item)),
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
        if let Some(guard) = &mut self.order {
            guard.sent(&item);
        }
        if self.in_flight.is_empty() {
            self.service.began(now);
        }
        let flight = Flight {
            item: item.clone(),
            outdated: false,
        };
        let before = self.in_flight.insert(item.key, flight);
        debug_assert!(before.is_none(), "a delivery goes out that is in the air");
        Some(item)
    }

    /// A delivery in memory that a disabled subscription withdraws.
    pub fn next_to_withdraw(&mut self) -> Option<Item> {
        if self.subscription.enabled {
            None
        } else {
            self.remove(0)
        }
    }

    /// A delivery lands. `answered` is none where nothing went over the wire.
    pub fn landed(
        &mut self,
        key: DeliveryKey,
        answered: Option<Answered>,
        now: Instant,
    ) -> Option<Landing> {
        let Flight { item, outdated } = self.in_flight.remove(&key)?;
        if let Some(guard) = &mut self.order {
            guard.landed(&item);
        }
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
        Some(Landing { item, outdated })
    }

    /// Sends nothing more, and lets what is queued leave memory.
    pub fn drain(&mut self) -> Vec<Item> {
        self.draining = true;
        self.take_queued(|_| true)
    }

    /// An entry of this lane is recorded: when to look for rows again.
    pub fn recorded(&mut self, key: DeliveryKey, kind: RecordedKind, now: Instant) {
        if let Some(guard) = &mut self.order {
            let (is_refilling, is_unrecorded) =
                (self.shelf.is_refilling(), self.shelf.is_unrecorded());
            guard.recorded(key, kind, is_refilling, is_unrecorded);
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

    /// A delivery that can have no row ends instead, and the newer ones wait until it has.
    pub fn ends_for_want_of_a_row(&mut self, key: DeliveryKey) {
        if let Some(guard) = &mut self.order {
            guard.ends_for_want_of_a_row(key, self.shelf.is_refilling());
        }
    }

    /// Cuts off what is in the air: nobody waits for the answers any more.
    pub fn cut_off(&mut self) -> Vec<Item> {
        if let Some(guard) = &mut self.order {
            guard.cut_off();
        }
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

    /// Whether nothing is at hand that only the lane knows: a new one would do the same. How fast
    /// an endpoint answers is soon learnt again; what a rate allows is not.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let order_is_settled = self.order.as_ref().is_none_or(|guard| guard.is_settled());
        self.queue.is_empty()
            && self.in_flight.is_empty()
            && self.shelf.is_empty()
            && order_is_settled
            && !self.breaker.is_open()
            && self.throttle.is_none()
            && self.pace.is_none()
            && !self.draining
    }

    /// Whether the endpoint gets only probes.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.breaker.is_open()
    }
}
