//! Route: which subscriptions an event is for. Pure, in memory, and changed in place.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::{Event, Pattern, Shard, Subscription};

/// The subscriptions of the shards that this worker owns. An event costs one look-up
/// and a walk over its merchant's subscriptions, however many there are in all.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    shards: HashMap<Shard, Merchants>,
    by_id: HashMap<Uuid, Arc<Subscription>>,
    unusable: usize,
}

/// A merchant's subscriptions, in no particular order.
type Merchants = HashMap<String, Vec<Arc<Subscription>>>;

impl Routes {
    /// The subscriptions that get `event`: a delivery each.
    pub fn matches(&self, event: &Event) -> impl Iterator<Item = &Arc<Subscription>> {
        self.shards
            .get(&event.shard)
            .and_then(|merchants| merchants.get(&*event.merchant))
            .into_iter()
            .flatten()
            .filter(|subscription| wants(subscription, event))
    }

    /// Adds a subscription, or puts it in the place of its earlier revision.
    pub fn upsert(&mut self, subscription: Arc<Subscription>) {
        self.remove(subscription.id);
        self.unusable += usize::from(!subscription.usable);
        self.by_id
            .insert(subscription.id, Arc::clone(&subscription));
        self.shards
            .entry(subscription.shard)
            .or_default()
            .entry(subscription.merchant.clone())
            .or_default()
            .push(subscription);
    }

    pub fn remove(&mut self, id: Uuid) -> Option<Arc<Subscription>> {
        let removed = self.by_id.remove(&id)?;
        self.unusable -= usize::from(!removed.usable);
        if let Some(merchants) = self.shards.get_mut(&removed.shard)
            && let Some(subscriptions) = merchants.get_mut(&removed.merchant)
        {
            subscriptions.retain(|subscription| subscription.id != id);
            if subscriptions.is_empty() {
                merchants.remove(&removed.merchant);
            }
        }
        Some(removed)
    }

    /// Forgets a shard that has gone to another worker.
    pub fn remove_shard(&mut self, shard: Shard) {
        let merchants = self.shards.remove(&shard).unwrap_or_default();
        for subscription in merchants.into_values().flatten() {
            self.unusable -= usize::from(!subscription.usable);
            self.by_id.remove(&subscription.id);
        }
    }

    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<&Arc<Subscription>> {
        self.by_id.get(&id)
    }

    /// How many have settings that can be used, and how many do not.
    #[must_use]
    pub fn usable_and_not(&self) -> (usize, usize) {
        (self.by_id.len() - self.unusable, self.unusable)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// A new subscription starts with new events: what was committed before it is for a
/// replay to send.
fn wants(subscription: &Subscription, event: &Event) -> bool {
    subscription.enabled
        && event.created_at >= subscription.created_at
        && any_matches(&subscription.kinds, &event.kind)
        && any_matches(&subscription.statuses, &event.status)
}

fn any_matches(patterns: &[Pattern], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples;

    fn routes(subscriptions: impl IntoIterator<Item = Subscription>) -> Routes {
        let mut routes = Routes::default();
        for subscription in subscriptions {
            routes.upsert(Arc::new(subscription));
        }
        routes
    }

    fn numbered(number: u16) -> Subscription {
        Subscription {
            id: Uuid::from_u128(number.into()),
            name: format!("endpoint {number}"),
            ..samples::subscription()
        }
    }

    fn matched(routes: &Routes, event: &Event) -> Vec<u128> {
        let mut ids: Vec<_> = routes.matches(event).map(|it| it.id.as_u128()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn an_event_goes_to_those_who_want_it() {
        type Change = fn(&mut Subscription);
        let cases: [(&str, Change, bool); 13] = [
            ("everything", |_| {}, true),
            ("disabled", |it| it.enabled = false, false),
            ("paused", |it| it.paused = true, true),
            (
                "other merchant",
                |it| it.merchant = "Acme".to_owned(),
                false,
            ),
            (
                "its kind",
                |it| it.kinds = vec![Pattern::new("x"), Pattern::new("payment.*")],
                true,
            ),
            (
                "other kind",
                |it| it.kinds = vec![Pattern::new("refund.*")],
                false,
            ),
            (
                "its status",
                |it| it.statuses = vec![Pattern::new("approved")],
                true,
            ),
            (
                "other status",
                |it| it.statuses = vec![Pattern::new("declined")],
                false,
            ),
            (
                "both",
                |it| {
                    it.kinds = vec![Pattern::new("payment.*")];
                    it.statuses = vec![Pattern::new("appr*")];
                },
                true,
            ),
            (
                "only the kind fits",
                |it| {
                    it.kinds = vec![Pattern::new("payment.*")];
                    it.statuses = vec![Pattern::new("x")];
                },
                false,
            ),
            (
                "older",
                |it| it.created_at = samples::time("2026-03-01T12:00:00Z"),
                true,
            ),
            (
                "of the same moment",
                |it| it.created_at = samples::event().created_at,
                true,
            ),
            (
                "newer",
                |it| it.created_at = samples::time("2026-03-01T12:00:00.000002Z"),
                false,
            ),
        ];
        for (what, change, expected) in cases {
            let mut subscription = samples::subscription();
            change(&mut subscription);
            let routes = routes([subscription]);
            let count = routes.matches(&samples::event()).count();
            assert_eq!(count, usize::from(expected), "{what}");
        }
    }

    #[test]
    fn an_update_takes_the_place_of_the_earlier_revision() {
        let mut routes = routes([numbered(1), numbered(2)]);
        assert_eq!(matched(&routes, &samples::event()), [1, 2]);

        let mut moved = numbered(1);
        moved.merchant = "other".to_owned();
        moved.shard = Shard(8);
        moved.revision = 2;
        routes.upsert(Arc::new(moved));
        assert_eq!(matched(&routes, &samples::event()), [2]);
        assert_eq!(routes.len(), 2);
        let known = routes.get(Uuid::from_u128(1)).map(|it| it.revision);
        assert_eq!(known, Some(2));

        assert!(routes.remove(Uuid::from_u128(2)).is_some());
        assert!(routes.remove(Uuid::from_u128(2)).is_none());
        assert!(matched(&routes, &samples::event()).is_empty());
    }

    #[test]
    fn a_shard_goes_as_a_whole() {
        let elsewhere = Subscription {
            shard: Shard(8),
            merchant: "other".to_owned(),
            ..numbered(3)
        };
        let mut routes = routes([numbered(1), numbered(2), elsewhere]);
        routes.remove_shard(Shard(7));
        assert!(matched(&routes, &samples::event()).is_empty());
        assert!(routes.get(Uuid::from_u128(1)).is_none());
        assert!(routes.get(Uuid::from_u128(3)).is_some());
        assert_eq!(routes.len(), 1);
        routes.remove_shard(Shard(8));
        assert!(routes.is_empty());
    }
}
