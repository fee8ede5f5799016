//! What waits in a lane's memory: deliveries as they came, and replays behind them. Without I/O.

use std::collections::VecDeque;

use super::Lane;
use crate::dispatch::item::Item;
use crate::model::DeliveryKey;

impl Lane {
    /// How many deliveries wait in memory, and their bytes.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        (self.queue.len(), self.queued_bytes)
    }

    /// How many deliveries are in the air.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether the delivery is in memory.
    #[must_use]
    pub fn holds(&self, key: DeliveryKey) -> bool {
        self.in_flight.contains_key(&key) || self.queue.iter().any(|item| item.key == key)
    }

    pub(super) fn push(&mut self, item: Item) {
        self.queued_bytes += item.bytes();
        if item.key.is_replay() {
            self.replays += 1;
            self.queue.push_back(item);
        } else {
            let behind_others = self.queue.len() - self.replays;
            self.queue.insert(behind_others, item);
        }
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<Item> {
        let item = self.queue.remove(at)?;
        self.queued_bytes -= item.bytes();
        self.replays -= usize::from(item.key.is_replay());
        Some(item)
    }

    pub(super) fn take_queued(&mut self, wanted: impl Fn(&Item) -> bool) -> Vec<Item> {
        let (taken, kept): (VecDeque<Item>, VecDeque<Item>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(wanted);
        self.queue = kept;
        self.queued_bytes -= taken.iter().map(Item::bytes).sum::<usize>();
        self.replays -= taken.iter().filter(|item| item.key.is_replay()).count();
        taken.into()
    }
}
