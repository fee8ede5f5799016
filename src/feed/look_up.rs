//! Which events need a look into the database before they are routed. Without I/O.
//!
//! Subscriptions of single transactions are not kept in memory, and neither is any
//! transaction's status. Both are looked up, for the events of merchants that need it; those
//! of all others cost one look into an empty map.

use std::collections::HashMap;

use uuid::Uuid;

use crate::model::{Emit, Event, Scope, Subscription};

/// The merchants that have a template, and those with a subscription that wants changes
/// only.
#[derive(Debug, Default)]
pub struct LookUps {
    merchants: HashMap<String, Needs>,
    by_id: HashMap<Uuid, (String, Needs)>,
}

/// How many of a merchant's subscriptions need each look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Needs {
    endpoints: usize,
    statuses: usize,
}

impl LookUps {
    /// Takes a subscription, or its newer revision.
    pub fn note(&mut self, subscription: &Subscription) {
        self.forget(subscription.id);
        let its = Needs {
            endpoints: (subscription.scope == Scope::Transaction).into(),
            statuses: (subscription.emit == Emit::Change).into(),
        };
        if !subscription.enabled || its == Needs::default() {
            return;
        }
        let merchant = subscription.merchant.clone();
        let needs = self.merchants.entry(merchant.clone()).or_default();
        needs.endpoints += its.endpoints;
        needs.statuses += its.statuses;
        self.by_id.insert(subscription.id, (merchant, its));
    }

    /// Forgets a subscription that is not routed to any more.
    pub fn forget(&mut self, id: Uuid) {
        if let Some((merchant, before)) = self.by_id.remove(&id)
            && let Some(needs) = self.merchants.get_mut(&merchant)
        {
            needs.endpoints -= before.endpoints;
            needs.statuses -= before.statuses;
            if *needs == Needs::default() {
                self.merchants.remove(&merchant);
            }
        }
    }

    /// Whether the event's transaction may have brought endpoints.
    #[must_use]
    pub fn for_endpoints(&self, event: &Event) -> bool {
        self.needs(event).endpoints > 0
    }

    /// Whether it counts if the event changes the status.
    #[must_use]
    pub fn for_statuses(&self, event: &Event) -> bool {
        self.needs(event).statuses > 0
    }

    fn needs(&self, event: &Event) -> Needs {
        self.merchants
            .get(&*event.merchant)
            .copied()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples;

    fn subscription(id: u128, scope: Scope, emit: Emit) -> Subscription {
        Subscription {
            id: Uuid::from_u128(id),
            scope,
            emit,
            ..samples::subscription()
        }
    }

    fn looked_up(look_ups: &LookUps) -> (usize, usize) {
        let other = Event {
            merchant: "other".into(),
            ..samples::event()
        };
        let events = [samples::event(), other];
        let count = |needs: fn(&LookUps, &Event) -> bool| {
            events.iter().filter(|event| needs(look_ups, event)).count()
        };
        (count(LookUps::for_endpoints), count(LookUps::for_statuses))
    }

    #[test]
    fn only_events_of_merchants_that_need_it_are_looked_up() {
        let mut look_ups = LookUps::default();
        look_ups.note(&subscription(1, Scope::Merchant, Emit::Every));
        assert_eq!(looked_up(&look_ups), (0, 0));
        assert!(look_ups.merchants.is_empty(), "ordinary ones cost nothing");
        look_ups.note(&subscription(2, Scope::Transaction, Emit::Every));
        assert_eq!(looked_up(&look_ups), (1, 0));
        look_ups.note(&subscription(3, Scope::Transaction, Emit::Change));
        assert_eq!(looked_up(&look_ups), (1, 1));
    }

    #[test]
    fn a_newer_revision_takes_the_place_of_the_earlier_one() {
        let mut look_ups = LookUps::default();
        look_ups.note(&subscription(1, Scope::Transaction, Emit::Change));
        look_ups.note(&subscription(1, Scope::Transaction, Emit::Change));
        look_ups.note(&subscription(1, Scope::Merchant, Emit::Change));
        assert_eq!(looked_up(&look_ups), (0, 1));
        let disabled = Subscription {
            enabled: false,
            ..subscription(1, Scope::Merchant, Emit::Change)
        };
        look_ups.note(&disabled);
        assert!(look_ups.merchants.is_empty() && look_ups.by_id.is_empty());
    }
}
