//! Who wanted an event, by the settings that held at its time. Pure.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{gets, lets_through};
use crate::model::{Emit, Event, Scope, Subscription};

/// How long workers may still go by the settings before a change: from its time to its commit.
const MOMENT: TimeDelta = TimeDelta::seconds(1);

/// Whether an event should have become a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The subscription wanted the event.
    Yes,
    /// The subscription did not want the event.
    No,
    /// Nobody can say: the settings changed at the very moment, or are not known so far back, and a
    /// worker was right either way.
    Undecided,
}

/// Subscriptions as they were, as far as it decides what they get.
#[derive(Debug, Default)]
pub struct Versions {
    by_id: HashMap<Uuid, Vec<Version>>,
    by_merchant: HashMap<String, Merchant>,
}

#[derive(Debug)]
struct Version {
    since: DateTime<Utc>,
    /// The ids of the events of the transaction that made the version: they met it, although they
    /// are older.
    own: Vec<Uuid>,
    subscription: Subscription,
}

impl Version {
    fn has_begun(&self, event: &Event) -> bool {
        self.since <= event.created_at || self.own.contains(&event.id)
    }
}

/// Everything that was ever said of a merchant's subscriptions.
#[derive(Debug, Default)]
struct Merchant {
    subscriptions: Vec<Uuid>,
    has_template: bool,
    wants_changes: bool,
}

impl Versions {
    /// Adds a subscription's next version.
    pub fn add(&mut self, since: DateTime<Utc>, own: Vec<Uuid>, subscription: Subscription) {
        let versions = self.by_id.entry(subscription.id).or_default();
        if let Some(last) = versions.last()
            && is_alike(&last.subscription, &subscription)
        {
            return;
        }
        let merchant = self
            .by_merchant
            .entry(subscription.merchant.clone())
            .or_default();
        if !merchant.subscriptions.contains(&subscription.id) {
            merchant.subscriptions.push(subscription.id);
        }
        merchant.has_template |= subscription.scope == Scope::Transaction;
        merchant.wants_changes |= subscription.emit == Emit::Change;
        versions.push(Version {
            since,
            own,
            subscription,
        });
    }

    /// The version that held at an event's time, or the first that is known; none where nothing is
    /// known of the subscription.
    #[must_use]
    pub fn at(&self, id: Uuid, event: &Event) -> Option<&Subscription> {
        let versions = self.by_id.get(&id)?;
        let held = versions.iter().rfind(|version| version.has_begun(event));
        Some(&held.or(versions.first())?.subscription)
    }

    /// The subscriptions of the event's merchant, without those that never wanted it.
    pub fn of<'a>(
        &'a self,
        event: &'a Event,
        before: Option<&'a str>,
    ) -> impl Iterator<Item = (Uuid, Wanted)> + 'a {
        let ids = self
            .merchant_of(event)
            .into_iter()
            .flat_map(|merchant| &merchant.subscriptions);
        ids.filter_map(move |id| {
            let wanted = self.judge(*id, event, |subscription| {
                *subscription.merchant == *event.merchant && gets(subscription, event, before)
            });
            (wanted != Wanted::No).then_some((*id, wanted))
        })
    }

    /// Whether a template let the event through to what its transaction brought.
    #[must_use]
    pub fn template(&self, id: Uuid, event: &Event, before: Option<&str>) -> Wanted {
        self.judge(id, event, |template| lets_through(template, event, before))
    }

    /// Whether the event's transaction may have brought endpoints.
    #[must_use]
    pub fn has_template(&self, event: &Event) -> bool {
        self.merchant_of(event)
            .is_some_and(|merchant| merchant.has_template)
    }

    /// Whether it matters for some subscription if the event changed its transaction's status.
    #[must_use]
    pub fn wants_changes(&self, event: &Event) -> bool {
        self.merchant_of(event)
            .is_some_and(|merchant| merchant.wants_changes)
    }

    fn merchant_of(&self, event: &Event) -> Option<&Merchant> {
        self.by_merchant.get(&*event.merchant)
    }

    /// Judges by the version of the event's time.
    fn judge(&self, id: Uuid, event: &Event, wants: impl Fn(&Subscription) -> bool) -> Wanted {
        let versions = self.by_id.get(&id).map_or(&[][..], Vec::as_slice);
        let wants = |version: &Version| wants(&version.subscription);
        match versions
            .iter()
            .rposition(|version| version.has_begun(event))
        {
            None if versions.first().is_some_and(wants) => Wanted::Undecided,
            None => Wanted::No,
            Some(at) => {
                let held = &versions[at];
                let is_new = event.created_at - held.since < MOMENT && held.own.is_empty();
                let before = at.checked_sub(1).map(|before| &versions[before]);
                match before.filter(|_| is_new) {
                    Some(before) if wants(before) != wants(held) => Wanted::Undecided,
                    _ if wants(held) => Wanted::Yes,
                    _ => Wanted::No,
                }
            }
        }
    }
}

fn is_alike(one: &Subscription, other: &Subscription) -> bool {
    let key = |subscription: &Subscription| {
        (
            subscription.enabled,
            subscription.scope,
            subscription.emit,
            subscription.created_at,
        )
    };
    key(one) == key(other)
        && one.merchant == other.merchant
        && one.kinds == other.kinds
        && one.statuses == other.statuses
        && (one.emit == Emit::Every || one.form.fields == other.form.fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pattern, samples};

    type Change = fn(&mut Subscription);

    fn known(versions: &[(&str, Change)]) -> Versions {
        let mut known = Versions::default();
        for (since, change) in versions {
            let mut subscription = samples::subscription();
            change(&mut subscription);
            known.add(samples::time(since), vec![], subscription);
        }
        known
    }

    /// Of the sample's subscription, whose event is of 12:00:00.000001.
    fn judged(versions: &[(&str, Change)]) -> Vec<Wanted> {
        let event = samples::event();
        let known = known(versions);
        known.of(&event, None).map(|(_, wanted)| wanted).collect()
    }

    const AS_IT_IS: Change = |_| {};
    const DISABLED: Change = |it| it.enabled = false;

    #[test]
    fn an_event_is_judged_by_the_settings_of_its_time() {
        const BEFORE: &str = "2026-03-01T11:00:00Z";
        const LATER: &str = "2026-03-01T11:59:00Z";
        const JUST_BEFORE: &str = "2026-03-01T12:00:00Z";
        const AFTER: &str = "2026-03-01T12:00:01Z";
        let other_kind: Change = |it| it.kinds = Some(vec![Pattern::new("x")]);
        let paused: Change = |it| it.paused = true;
        for (versions, expected) in [
            (&[(BEFORE, AS_IT_IS)][..], vec![Wanted::Yes]),
            (&[(BEFORE, DISABLED)], vec![]),
            (&[(BEFORE, AS_IT_IS), (AFTER, paused)], vec![Wanted::Yes]),
            (&[(BEFORE, AS_IT_IS), (AFTER, DISABLED)], vec![Wanted::Yes]),
            (&[(BEFORE, DISABLED), (AFTER, AS_IT_IS)], vec![]),
            (
                &[(BEFORE, AS_IT_IS), (AFTER, other_kind)],
                vec![Wanted::Yes],
            ),
            (
                &[(BEFORE, AS_IT_IS), (AFTER, DISABLED), (AFTER, AS_IT_IS)],
                vec![Wanted::Yes],
            ),
            (&[(BEFORE, DISABLED), (LATER, AS_IT_IS)], vec![Wanted::Yes]),
            (&[(BEFORE, other_kind), (AFTER, AS_IT_IS)], vec![]),
            // It may have been committed before the change was.
            (
                &[(BEFORE, DISABLED), (JUST_BEFORE, AS_IT_IS)],
                vec![Wanted::Undecided],
            ),
            // Nothing is known of its time.
            (&[(AFTER, AS_IT_IS)], vec![Wanted::Undecided]),
            (&[(AFTER, other_kind)], vec![]),
        ] {
            assert_eq!(judged(versions), expected);
        }
    }

    #[test]
    fn what_a_transaction_publishes_meets_its_own_changes() {
        let event = samples::event();
        let mut known = known(&[("2026-03-01T11:00:00Z", DISABLED)]);
        let after = samples::time("2026-03-01T12:30:00Z");
        known.add(after, vec![event.id], samples::subscription());
        let id = samples::subscription().id;
        assert!(known.at(id, &event).is_some_and(|it| it.enabled));
        assert_eq!(
            known.of(&event, None).collect::<Vec<_>>(),
            [(id, Wanted::Yes)]
        );
    }

    #[test]
    fn only_merchants_that_need_it_are_looked_up() {
        let mut versions = Versions::default();
        let since = samples::time("2026-03-01T11:00:00Z");
        let event = samples::event();
        versions.add(since, vec![], samples::subscription());
        assert!(!versions.has_template(&event) && !versions.wants_changes(&event));
        let template = Subscription {
            id: Uuid::from_u128(1),
            scope: Scope::Transaction,
            ..samples::subscription()
        };
        versions.add(since, vec![], template);
        assert!(versions.has_template(&event));
        let through = versions.template(Uuid::from_u128(1), &event, None);
        assert_eq!(through, Wanted::Yes);
        assert_eq!(
            versions.template(Uuid::from_u128(2), &event, None),
            Wanted::No
        );
    }
}
