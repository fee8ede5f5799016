//! What goes between a lane's memory and the rows of `pending_deliveries`. Without I/O.

use std::collections::HashSet;
use std::time::Instant;

use super::Lane;
use crate::dispatch::FEED_READS_BELOW;
use crate::dispatch::item::{Item, RowState};
use crate::dispatch::order::OrderGuard;
use crate::dispatch::shelf::{Due, Rows};
use crate::model::DeliveryKey;

/// The most rows that one refill brings: a refill is shared by many lanes.
const REFILL: usize = 500;

impl Lane {
    /// How many rows the lane wants now, and which of its rows to pass over.
    pub fn begin_refill(
        &mut self,
        pressure: f64,
        now: Instant,
    ) -> Option<(Rows, Vec<DeliveryKey>)> {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let room = Rows {
            deliveries: self.refill_room(pressure, now),
            replays: self.replay_room(pressure, now),
        };
        let deliveries = is_due(self.shelf.next_due()) && room.deliveries > 0;
        let replays = is_due(self.shelf.next_replay()) && room.replays > 0;
        if !deliveries && !replays {
            return None;
        }
        let in_memory = self
            .queue
            .iter()
            .chain(self.in_flight.values().map(|flight| &flight.item));
        let mut held: Vec<DeliveryKey> = in_memory
            .filter(|item| item.row != RowState::None)
            .map(|item| item.key)
            .collect();
        let in_memory = !held.is_empty();
        held.extend(self.shelf.begin_refill(room, in_memory));
        Some((room, held))
    }

    pub(super) fn refill_room(&self, pressure: f64, now: Instant) -> usize {
        let may_refill = self.order.as_deref().is_none_or(OrderGuard::may_refill);
        if self.draining || !may_refill || self.subscription.is_held() || pressure >= 1.0 {
            return 0;
        }
        if !self.subscription.enabled {
            return REFILL;
        }
        self.refill_capacity(pressure, now)
            .max(self.free_slots(now))
            .saturating_sub(self.queue.len() - self.replays)
            .min(REFILL)
    }

    /// How many replays the lane has room for: none while there is something else to send.
    pub(super) fn replay_room(&self, pressure: f64, now: Instant) -> usize {
        if self.draining || self.subscription.is_held() || pressure >= 1.0 {
            return 0;
        }
        if !self.subscription.enabled {
            return REFILL;
        }
        let others = self.queue.len() - self.replays;
        if self.shelf.is_behind() || others >= self.free_slots(now) {
            return 0;
        }
        let room = (self.refill_capacity(pressure, now) / 2).max(self.replay_slots(now));
        room.saturating_sub(self.replays).min(REFILL)
    }

    /// Rows come back as if the memory ended where the feed begins to wait: it must not wait
    /// for them.
    fn refill_capacity(&self, pressure: f64, now: Instant) -> usize {
        self.capacity(pressure / FEED_READS_BELOW, now)
    }

    /// Rows were refilled; `next_due` is when the first of the others is due. They
    /// stay where they are if nothing is to be sent any more, as they would take the others'
    /// memory, or if older ones have left memory meanwhile.
    pub fn refilled(&mut self, found: Vec<Item>, next_due: Due, now: Instant) {
        let mut count = Rows::default();
        let in_queue: HashSet<DeliveryKey> = self.queue.iter().map(|item| item.key).collect();
        let mut taken = Rows::default();
        let must_stay = self.subscription.is_held()
            || self.order.as_deref().is_some_and(OrderGuard::is_spoiled);
        for item in found {
            count.add(item.key);
            let elsewhere = must_stay
                || in_queue.contains(&item.key)
                || self.in_flight.contains_key(&item.key)
                || self.shelf.is_changing(item.key)
                || self.order.as_ref().is_some_and(|it| !it.may_take(&item));
            if !elsewhere {
                taken.add(item.key);
                self.push(item);
            }
        }
        if let Some(guard) = &mut self.order {
            guard.refill_ended();
        }
        self.shelf.end_refill(count, taken, next_due, now);
        if must_stay && count != Rows::default() {
            self.shelf.due_at(now);
        }
    }

    /// The refill failed: the database is away.
    pub fn refill_failed(&mut self, again: Instant) {
        if let Some(guard) = &mut self.order {
            guard.refill_ended();
        }
        self.shelf.refill_failed(again);
    }

    /// Deliveries that have been here without a row for too long: they get one, and stay.
    pub fn overdue(&mut self, now: Instant) -> Vec<Item> {
        let Some(limit) = now.checked_sub(self.spill_after) else {
            return Vec::new();
        };
        if self.oldest.is_none_or(|oldest| oldest > limit) {
            return Vec::new();
        }
        let mut overdue = Vec::new();
        let mut oldest: Option<Instant> = None;
        let in_the_air = self.in_flight.values_mut().map(|flight| &mut flight.item);
        for item in self.queue.iter_mut().chain(in_the_air) {
            if item.row != RowState::None {
                continue;
            }
            if item.since <= limit {
                overdue.push(item.clone());
                item.row = RowState::Asked;
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
    pub fn rows_recorded(&mut self, keys: &HashSet<DeliveryKey>, pressure: f64, now: Instant) {
        let in_the_air = self.in_flight.values_mut().map(|flight| &mut flight.item);
        for item in self.queue.iter_mut().chain(in_the_air) {
            if item.row == RowState::Asked && keys.contains(&item.key) {
                item.row = RowState::Recorded;
            }
        }
        let keep = self.capacity(pressure, now).max(self.free_slots(now));
        let left = self.shelve_beyond(keep, |item| item.row == RowState::Recorded);
        if !left.is_empty() {
            self.shelf.due_at(now);
        }
    }

    /// Shelves what waits while nothing is to be sent, or for an endpoint that takes nothing: it
    /// would take the others' memory.
    pub fn shelve_stalled(&mut self, now: Instant) -> Vec<Item> {
        if self.subscription.is_held() {
            self.shelve_beyond(0, |_| true)
        } else if self.is_stalled(now) {
            self.shelve_beyond(self.free_slots(now), |_| true)
        } else {
            Vec::new()
        }
    }

    /// Takes the end of the queue out of memory, beyond `keep` and as far as it may leave.
    fn shelve_beyond(&mut self, keep: usize, may_leave: impl Fn(&Item) -> bool) -> Vec<Item> {
        let mut left = Vec::new();
        while self.queue.len() > keep
            && self.queue.back().is_some_and(&may_leave)
            && let Some(item) = self.remove(self.queue.len() - 1)
        {
            self.shelf.shelve(item.key);
            if let Some(guard) = &mut self.order {
                guard.leaves(&item, self.shelf.is_refilling());
            }
            left.push(item);
        }
        left.reverse();
        left
    }
}
