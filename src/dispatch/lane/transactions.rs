//! Events of one transaction to one address: what a newer one, or a retry, does to the
//! others. Without I/O.

use uuid::Uuid;

use super::Lane;
use crate::dispatch::item::{Item, Series};
use crate::model::DeliveryKey;

/// What a newer event does to the older ones of its series.
#[derive(Debug, Default)]
pub struct Superseded {
    /// The older ones that were queued.
    pub queued: Vec<Item>,
    /// More may wait in the database, but for those in the air.
    pub look_in_rows: bool,
    pub in_the_air: Vec<DeliveryKey>,
    /// Whether the newer event is superseded itself, by one that is there already.
    pub itself: bool,
}

impl Lane {
    /// The delivery goes to the database until its next attempt. Where order counts, the
    /// events of its transaction that wait in memory follow it there.
    pub fn await_retry(&mut self, failed: &Item) -> Vec<Item> {
        self.shelf.await_retry(failed.key);
        if !self.is_ordered() {
            return Vec::new();
        }
        if let Some(guard) = &mut self.order {
            guard.failed(failed);
        }
        let series = failed.series();
        let is_replay = failed.key.is_replay();
        let followers =
            self.take_queued(|item| item.is_of(&series) && item.key.is_replay() == is_replay);
        for follower in &followers {
            self.shelf.shelve(follower.key);
        }
        followers
    }

    /// Supersedes the older ones, where newer events do.
    pub fn supersede(&mut self, newer: &Series) -> Superseded {
        let mut result = Superseded {
            itself: self.queue.iter().any(|item| item.supersedes(newer)),
            look_in_rows: self.shelf.rows() > 0,
            ..Superseded::default()
        };
        for flight in self
            .in_flight
            .values_mut()
            .filter(|flight| flight.item.is_of(newer))
        {
            if flight.item.supersedes(newer) {
                result.itself = true;
            } else if flight.item.is_superseded_by(newer) {
                flight.outdated = true;
                result.in_the_air.push(flight.item.key);
            }
        }
        result.queued = self.take_queued(|item| item.is_superseded_by(newer));
        if self.shelf.is_refilling() || result.look_in_rows {
            let guard = self.order.get_or_insert_default();
            guard.superseded(newer, result.look_in_rows);
        }
        result
    }

    /// Takes a delivery whose row is to go out of the queue. False: it is on its way, and its
    /// outcome stands.
    pub fn may_withdraw(&mut self, key: DeliveryKey) -> bool {
        if self.in_flight.contains_key(&key) || self.shelf.is_changing(key) {
            return false;
        }
        self.take_queued(|item| item.key == key);
        true
    }

    /// Takes the deliveries of a transaction's subscription that has ended out of the queue.
    pub fn withdraw(&mut self, subscription_id: Uuid) -> Vec<Item> {
        self.take_queued(|item| item.key.subscription_id == subscription_id)
    }
}
