//! Events of one transaction: what a newer one, or a retry, does to the others. Without I/O.

use std::sync::Arc;

use super::Lane;
use crate::dispatch::item::Item;
use crate::model::{DeliveryKey, Event};

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

impl Lane {
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
}
