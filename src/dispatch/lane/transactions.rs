//! Events of one transaction to one address: what a newer one, or a retry, does to the
//! others. Without I/O.

use uuid::Uuid;

use super::Lane;
use crate::dispatch::item::{Item, Series};
use crate::model::DeliveryKey;

/// What a newer event does to the older ones of its transaction.
#[derive(Debug, Default)]
pub struct Superseded {
    /// They waited in memory.
    pub dropped: Vec<Item>,
    /// More may wait in the database, but for those in the air.
    pub look_in_rows: bool,
    pub in_the_air: Vec<DeliveryKey>,
    /// It is itself older than one that is there.
    pub stale: bool,
}

/// An event that takes the place of older ones, among them rows that a refill may bring.
#[derive(Debug)]
pub(super) struct Replaced {
    by: Series,
    /// Whether its rows are gone from the database.
    is_written: bool,
}

impl Replaced {
    pub(super) const fn is_written(&self) -> bool {
        self.is_written
    }
}

impl Lane {
    /// The delivery goes to the database until its next attempt. Where order counts, the
    /// events of its transaction that wait in memory follow it there.
    pub fn await_retry(&mut self, series: &Series) -> Vec<Item> {
        self.shelf.await_retry();
        if !self.is_ordered() {
            return Vec::new();
        }
        let followers = self.take_queued(|item| item.is_of(series));
        for _ in &followers {
            self.shelf.shelve();
        }
        followers
    }

    /// Makes way for an event where newer ones replace older ones.
    pub fn supersede(&mut self, newer: &Series) -> Superseded {
        let id = newer.event.id;
        let mut result = Superseded {
            stale: self
                .queue
                .iter()
                .any(|item| item.is_of(newer) && item.event.id > id),
            look_in_rows: self.shelf.rows() > 0,
            ..Superseded::default()
        };
        for flight in self
            .in_flight
            .values_mut()
            .filter(|flight| flight.item.is_of(newer))
        {
            if flight.item.event.id > id {
                result.stale = true;
            } else {
                flight.outdated = true;
                result.in_the_air.push(flight.item.key);
            }
        }
        result.dropped = self.take_queued(|item| item.is_of(newer) && item.event.id < id);
        if self.shelf.is_refilling() || result.look_in_rows {
            self.replaced.push(Replaced {
                by: newer.clone(),
                is_written: !result.look_in_rows,
            });
        }
        result
    }

    /// Whether a newer event of its transaction has taken its place while it was on its way
    /// back into memory.
    pub(super) fn is_replaced(&self, item: &Item) -> bool {
        self.replaced
            .iter()
            .any(|newer| item.is_of(&newer.by) && newer.by.event.id > item.event.id)
    }

    /// The rows that this event replaces are gone: no refill that begins now finds them.
    pub(super) fn replaced_in_rows(&mut self, newer: DeliveryKey) {
        let is_refilling = self.shelf.is_refilling();
        for replaced in &mut self.replaced {
            replaced.is_written |= replaced.by.subscription_id == newer.subscription_id
                && replaced.by.event.id == newer.event_id;
        }
        self.replaced
            .retain(|replaced| is_refilling || !replaced.is_written);
    }

    /// The deliveries in memory of a transaction's subscription that has ended.
    pub fn withdraw(&mut self, subscription_id: Uuid) -> Vec<Item> {
        self.take_queued(|item| item.key.subscription_id == subscription_id)
    }
}
