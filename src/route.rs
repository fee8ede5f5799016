//! Route: which subscriptions an event is for. Pure, in memory, and changed in place.

pub mod history;
pub mod versions;

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use self::versions::Versions;
use crate::model::{Emit, Event, Pattern, Scope, Shard, Subscription};
use crate::shape::sent_alike;

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
    /// The subscriptions that get `event`, with a delivery each. `before` is the status of the
    /// transaction's event before, if there is one. Whether a subscription gets it is said by its
    /// version of the event's time, where `versions` know of one; all else by that of now.
    pub fn matches(
        &self,
        event: &Event,
        before: Option<&str>,
        versions: &Versions,
    ) -> impl Iterator<Item = &Arc<Subscription>> {
        self.shards
            .get(&event.shard)
            .and_then(|merchants| merchants.get(&*event.merchant))
            .into_iter()
            .flatten()
            .filter(move |now| gets(versions.at(now.id, event).unwrap_or(now), event, before))
    }

    /// The template of an endpoint that the event's transaction brought, if it lets the event
    /// through.
    #[must_use]
    pub fn template(
        &self,
        id: Uuid,
        event: &Event,
        before: Option<&str>,
        versions: &Versions,
    ) -> Option<&Arc<Subscription>> {
        self.by_id
            .get(&id)
            .filter(|now| lets_through(versions.at(id, event).unwrap_or(now), event, before))
    }

    /// Adds a subscription, or puts it in the place of its earlier revision.
    pub fn upsert(&mut self, subscription: Arc<Subscription>) {
        self.remove(subscription.id);
        self.unusable += usize::from(subscription.unusable.is_some());
        self.by_id
            .insert(subscription.id, Arc::clone(&subscription));
        self.shards
            .entry(subscription.shard)
            .or_default()
            .entry(subscription.merchant.clone())
            .or_default()
            .push(subscription);
    }

    /// Takes a subscription out, and returns it if it was there.
    pub fn remove(&mut self, id: Uuid) -> Option<Arc<Subscription>> {
        let removed = self.by_id.remove(&id)?;
        self.unusable -= usize::from(removed.unusable.is_some());
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
            self.unusable -= usize::from(subscription.unusable.is_some());
            self.by_id.remove(&subscription.id);
        }
    }

    /// The subscription of this id, if this worker has it.
    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<&Arc<Subscription>> {
        self.by_id.get(&id)
    }

    /// How many subscriptions have settings that can be used, and how many have others.
    #[must_use]
    pub fn usable_and_not(&self) -> (usize, usize) {
        (self.by_id.len() - self.unusable, self.unusable)
    }

    /// The subscriptions whose settings cannot be used, and why. As a rule there is none, and
    /// nothing to look through.
    pub fn unusable(&self) -> impl Iterator<Item = (Uuid, String)> {
        let all = (self.unusable > 0).then(|| self.by_id.values());
        let all = all.into_iter().flatten();
        all.filter_map(|it| Some((it.id, it.unusable.as_ref()?.to_string())))
    }

    /// How many subscriptions this worker has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether this worker has no subscription.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// Whether a subscription of the event's merchant gets it.
#[must_use]
pub fn gets(subscription: &Subscription, event: &Event, before: Option<&str>) -> bool {
    subscription.scope == Scope::Merchant && wants(subscription, event, before)
}

/// Whether a template gets the event to an endpoint that its transaction brought.
#[must_use]
pub fn lets_through(template: &Subscription, event: &Event, before: Option<&str>) -> bool {
    template.scope == Scope::Transaction
        && *template.merchant == *event.merchant
        && wants(template, event, before)
}

/// Whether the subscription's own settings want the event. A new subscription starts with new
/// events: what was committed before it is for a replay to send.
fn wants(subscription: &Subscription, event: &Event, before: Option<&str>) -> bool {
    subscription.enabled
        && event.created_at >= subscription.created_at
        && any_matches(subscription.kinds.as_deref(), &event.kind)
        && any_matches(subscription.statuses.as_deref(), &event.status)
        && (subscription.emit == Emit::Every
            || before.is_none_or(|it| changes(subscription, event, it)))
}

/// Whether the receiver sees another status than before: two that are sent as the same word are the
/// same to it (WIRE.md 5.6).
fn changes(subscription: &Subscription, event: &Event, before: &str) -> bool {
    let fields = subscription.form.fields.as_deref().unwrap_or_default();
    *event.status != *before && !sent_alike(fields, &event.status, before)
}

fn any_matches(patterns: Option<&[Pattern]>, text: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Field, FieldSource, OmitWhen, Step, samples};

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
        let mut ids: Vec<_> = routes
            .matches(event, None, &Versions::default())
            .map(|it| it.id.as_u128())
            .collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn an_event_goes_to_those_who_want_it() {
        type Change = fn(&mut Subscription);
        let cases: [(&str, Change, bool); 17] = [
            ("everything", |_| {}, true),
            ("disabled", |it| it.enabled = false, false),
            ("paused", |it| it.paused = true, true),
            ("template", |it| it.scope = Scope::Transaction, false),
            ("changes", |it| it.emit = Emit::Change, true),
            ("no kind", |it| it.kinds = Some(vec![]), false),
            ("no status", |it| it.statuses = Some(vec![]), false),
            (
                "other merchant",
                |it| it.merchant = "Acme".to_owned(),
                false,
            ),
            (
                "its kind",
                |it| it.kinds = Some(vec![Pattern::new("x"), Pattern::new("payment.*")]),
                true,
            ),
            (
                "other kind",
                |it| it.kinds = Some(vec![Pattern::new("refund.*")]),
                false,
            ),
            (
                "its status",
                |it| it.statuses = Some(vec![Pattern::new("approved")]),
                true,
            ),
            (
                "other status",
                |it| it.statuses = Some(vec![Pattern::new("declined")]),
                false,
            ),
            (
                "both",
                |it| {
                    it.kinds = Some(vec![Pattern::new("payment.*")]);
                    it.statuses = Some(vec![Pattern::new("appr*")]);
                },
                true,
            ),
            (
                "only the kind fits",
                |it| {
                    it.kinds = Some(vec![Pattern::new("payment.*")]);
                    it.statuses = Some(vec![Pattern::new("x")]);
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
            let count = routes
                .matches(&samples::event(), None, &Versions::default())
                .count();
            assert_eq!(count, usize::from(expected), "{what}");
        }
    }

    #[test]
    fn an_event_that_changes_nothing_goes_to_those_who_want_every_one() {
        let changes = Subscription {
            emit: Emit::Change,
            ..numbered(1)
        };
        let routes = routes([changes, numbered(2)]);
        assert_eq!(matched(&routes, &samples::event()), [1, 2]);
        let repeated = samples::event();
        let ids: Vec<_> = routes
            .matches(&repeated, Some(&repeated.status), &Versions::default())
            .map(|it| it.id)
            .collect();
        assert_eq!(ids, [Uuid::from_u128(2)]);
    }

    #[test]
    fn what_is_sent_alike_is_no_change() {
        let status = |map: &[(&str, &str)], format: Vec<Step>, omit_when| Field {
            name: "TXStatus".to_owned(),
            source: FieldSource::Status,
            map: map
                .iter()
                .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
                .collect(),
            format,
            omit_when,
        };
        let mapped = || {
            status(
                &[("Pending", "2"), ("Waiting", "2"), ("", "0")],
                vec![],
                OmitWhen::Never,
            )
        };
        let raw = || status(&[], vec![], OmitWhen::Never);
        let lower = || status(&[], vec![Step::Lower], OmitWhen::Never);
        let number = || status(&[], vec![Step::Number], OmitWhen::Never);
        let other = || Field {
            source: FieldSource::Kind,
            ..raw()
        };
        for (fields, before, now, changed) in [
            (None, "Pending", "2", true),
            (Some(vec![mapped()]), "Pending", "2", false),
            (Some(vec![mapped()]), "Pending", "Waiting", false),
            (Some(vec![mapped()]), "Pending", "Complete", true),
            // The receiver sees both fields.
            (Some(vec![mapped(), raw()]), "Pending", "2", true),
            (Some(vec![lower()]), "APPROVED", "Approved", false),
            // Without a field of it, the status itself counts.
            (Some(vec![other()]), "Pending", "2", true),
            // What cannot be sent is told of.
            (Some(vec![number()]), "1", "one", true),
            (Some(vec![number()]), "1", "1", false),
        ] {
            let mut subscription = Subscription {
                emit: Emit::Change,
                ..numbered(1)
            };
            subscription.form.fields = fields;
            let event = Event {
                status: now.into(),
                ..samples::event()
            };
            assert_eq!(
                gets(&subscription, &event, Some(before)),
                changed,
                "{before} {now}"
            );
        }
    }

    #[test]
    fn a_template_lets_through_what_it_wants_of_its_merchant() {
        type Change = fn(&mut Subscription);
        let cases: [(&str, Change, bool); 6] = [
            ("template", |_| {}, true),
            (
                "its kind",
                |it| it.kinds = Some(vec![Pattern::new("payment.*")]),
                true,
            ),
            (
                "other kind",
                |it| it.kinds = Some(vec![Pattern::new("x")]),
                false,
            ),
            ("disabled", |it| it.enabled = false, false),
            (
                "other merchant",
                |it| it.merchant = "Acme".to_owned(),
                false,
            ),
            (
                "no template any more",
                |it| it.scope = Scope::Merchant,
                false,
            ),
        ];
        for (what, change, expected) in cases {
            let mut template = Subscription {
                scope: Scope::Transaction,
                ..numbered(1)
            };
            change(&mut template);
            let routes = routes([template]);
            let event = samples::event();
            let found = routes.template(Uuid::from_u128(1), &event, None, &Versions::default());
            assert_eq!(found.is_some(), expected, "{what}");
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
