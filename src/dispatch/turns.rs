//! What the lanes let go: each lane in the row has its turn to send and to be refilled.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::AbortHandle;
use uuid::Uuid;

use super::attempt::age;
use super::ended::DISABLED;
use super::errand::{Errand, Flight};
use super::item::Item;
use super::{Dispatcher, UNRECORDED_OUTCOMES, lane};
use crate::flow::refill::{RefillOrder, RefillRequest};

/// A lane sends at most so many before the next lane has its turn.
const TURN: usize = 8;

/// The last quarter of the sockets is for lanes with fewer than this in the air, so that
/// slow endpoints cannot take them all.
const FEW: usize = 4;

/// Refills that run at a time: each takes a connection.
const REFILLS: usize = 2;

impl Dispatcher {
    /// Each lane in the row has its turn, as long as there are sockets and the recorder
    /// keeps up. Where sockets are scarce the lanes with the fewest in the air come first: an
    /// endpoint that answers at once never waits behind those that take their time.
    pub(super) fn give_turns(&mut self, now: Instant, clock: &dyn Fn() -> Instant) {
        if !self.may_work(clock) {
            return;
        }
        let mut order = RefillOrder::default();
        let mut held_back = Vec::new();
        loop {
            let mut row: Vec<Uuid> = iter::from_fn(|| self.lanes.next_in_row()).collect();
            if row.is_empty() {
                break;
            }
            if self.sockets_are_scarce() {
                row.sort_by_cached_key(|id| self.in_the_air(*id));
            }
            let longest = self.longest_turn(row.len());
            for id in row {
                if self.give_turn(id, longest, &mut order, now, clock) {
                    held_back.push(id);
                }
            }
        }
        for id in held_back {
            self.lanes.look_at(id);
        }
        if !order.lanes.is_empty() {
            self.refills += 1;
            (self.out.errands)(Errand::Refill(order));
        }
    }

    /// Returns whether the lane has more to send than the worker can take now; its turn
    /// comes again with the next input.
    fn give_turn(
        &mut self,
        id: Uuid,
        longest: usize,
        order: &mut RefillOrder,
        now: Instant,
        clock: &dyn Fn() -> Instant,
    ) -> bool {
        let pressure = self.pressure();
        while let Some(Some(item)) = self.lanes.with(id, lane::Lane::next_to_withdraw) {
            self.finish_withdrawn(&item, DISABLED);
        }
        let leaving = self.lanes.with(id, |lane| {
            let stalled = lane.shelve_stalled(now);
            stalled.into_iter().chain(lane.overdue(now))
        });
        for item in leaving.into_iter().flatten() {
            self.spill(&item, now);
        }
        let mut sent = 0;
        let held_back = loop {
            if sent == longest {
                self.lanes.look_at(id);
                return false;
            }
            if !self.may_send(id, clock) {
                break true;
            }
            match self.lanes.with(id, |lane| lane.next(now)) {
                Some(Some(item)) => self.send(item, id, now),
                Some(None) | None => break false,
            }
            sent += 1;
        };
        if self.refills < REFILLS && !order.is_full() {
            self.ask_for_refill(id, order, now);
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

    /// Adds the lane to the order if it has room and something may be due.
    fn ask_for_refill(&mut self, id: Uuid, order: &mut RefillOrder, now: Instant) {
        let pressure = self.pressure();
        let asked = self.lanes.with(id, |lane| {
            let (room, held) = lane.begin_refill(pressure, now)?;
            Some((
                Arc::clone(&lane.subscription),
                lane.is_ordered(),
                room,
                held,
            ))
        });
        let Some(Some((subscription, heads_only, room, held))) = asked else {
            return;
        };
        let epoch = self.epoch(subscription.shard);
        debug_assert!(
            epoch.is_some(),
            "a lane of a shard that is not held asks for rows"
        );
        let Some(epoch) = epoch else {
            return;
        };
        order.lanes.push(RefillRequest {
            shard: subscription.shard,
            epoch,
            lane_id: id,
            room: i64::try_from(room.deliveries).unwrap_or(i64::MAX),
            replay_room: i64::try_from(room.replays).unwrap_or(i64::MAX),
            heads_only,
            not_due_too: !subscription.enabled,
        });
        order.held.extend(held);
    }

    /// Whether the leases hold at this very moment, and the recorder keeps up.
    fn may_work(&self, clock: &dyn Fn() -> Instant) -> bool {
        self.out.backlog.attempts() < UNRECORDED_OUTCOMES
            && self.out.lease.is_valid(clock(), self.losses)
    }

    fn may_send(&mut self, id: Uuid, clock: &dyn Fn() -> Instant) -> bool {
        self.may_work(clock)
            && self.lanes.in_flight() < self.settings.max_in_flight_total
            && (!self.sockets_are_scarce() || self.in_the_air(id) < FEW)
    }

    fn sockets_are_scarce(&self) -> bool {
        self.lanes.in_flight() >= self.settings.max_in_flight_total / 4 * 3
    }

    /// How many each of so many lanes may send in a turn: where there are not enough sockets
    /// for all, each lane has one before any has two, and who got none comes before the
    /// others the next time. There is at least one lane.
    fn longest_turn(&self, lanes: usize) -> usize {
        let free = self
            .settings
            .max_in_flight_total
            .saturating_sub(self.lanes.in_flight());
        (free / lanes).clamp(1, TURN)
    }

    /// Requests of one lane.
    fn in_the_air(&mut self, id: Uuid) -> usize {
        self.lanes
            .with(id, |lane| lane.in_flight())
            .unwrap_or(usize::MAX)
    }

    fn send(&mut self, item: Item, id: Uuid, now: Instant) {
        let subscription = self.lanes.with(id, |lane| Arc::clone(&lane.subscription));
        let held = subscription.and_then(|it| Some((self.epoch(it.shard)?, it)));
        debug_assert!(held.is_some(), "a lane of a shard that is not held sends");
        let Some((epoch, subscription)) = held else {
            return;
        };
        if item.attempts == 0 && !item.key.is_replay() {
            let waited = age(item.event.created_at, self.out.clock.at(now));
            self.out.metrics.first_attempt(waited);
        }
        let (cut_off, ends) = AbortHandle::new_pair();
        let before = self.sends.insert(item.key, cut_off);
        debug_assert!(before.is_none(), "a delivery is sent that is in the air");
        (self.out.errands)(Errand::Send(Flight {
            item,
            lane_id: id,
            subscription,
            epoch,
            ends,
        }));
    }
}
