//! What goes between a lane's memory and the rows of `pending_deliveries`. Without I/O.

use std::collections::HashSet;
use std::time::Instant;

use super::Lane;
use crate::dispatch::item::{Item, Row};
use crate::model::DeliveryKey;

/// The most rows that one refill brings: a refill is shared by many lanes.
const REFILL: usize = 500;

impl Lane {
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
        let in_memory = !held.is_empty();
        held.extend(self.shelf.begin_refill(room, in_memory));
        Some((room, held))
    }

    pub(super) fn refill_room(&self, pressure: f64, now: Instant) -> usize {
        // A row must not overtake an older event of its transaction.
        let must_wait = self.is_ordered() && (self.behind_log || self.unsettled);
        if self.draining || must_wait || self.subscription.is_held() || pressure >= 1.0 {
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
                || self.is_barred(&item);
            if !elsewhere {
                taken += 1;
                self.push(item);
            }
        }
        self.barred.retain(|barred| !barred.is_written());
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
}
