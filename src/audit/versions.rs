//! Who wanted an event, by the settings that held at its time and since. Pure.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Emit, Event, Scope, Subscription};
use crate::route::{gets, lets_through};

/// Whether an event should have become a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Yes,
    No,
    /// The settings changed since the event, or are not known so far back: a worker that
    /// read it late was right either way.
    Undecided,
}

/// The subscriptions as they were, as far as it decides what they get.
#[derive(Debug, Default)]
pub struct Versions {
    by_id: HashMap<Uuid, Vec<Version>>,
    by_merchant: HashMap<String, Merchant>,
}

#[derive(Debug)]
struct Version {
    since: DateTime<Utc>,
    subscription: Subscription,
}

/// What was ever said of a merchant.
#[derive(Debug, Default)]
struct Merchant {
    subscriptions: Vec<Uuid>,
    has_template: bool,
    wants_changes: bool,
}

impl Versions {
    /// Adds a subscription's next version.
    pub fn add(&mut self, since: DateTime<Utc>, subscription: Subscription) {
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
            subscription,
        });
    }

    /// The subscriptions of the event's merchant, those that never wanted it left out.
    pub fn of<'a>(
        &'a self,
        event: &'a Event,
        before: Option<&'a str>,
    ) -> impl Iterator<Item = (Uuid, Wanted)> + 'a {
        let merchant = self.by_merchant.get(&*event.merchant);
        let ids = merchant
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
        let merchant = self.by_merchant.get(&*event.merchant);
        merchant.is_some_and(|merchant| merchant.has_template)
    }

    /// Whether it counts if the event changed its transaction's status.
    #[must_use]
    pub fn wants_changes(&self, event: &Event) -> bool {
        let merchant = self.by_merchant.get(&*event.merchant);
        merchant.is_some_and(|merchant| merchant.wants_changes)
    }

    /// By the version of the event's time and all later ones.
    fn judge(&self, id: Uuid, event: &Event, wants: impl Fn(&Subscription) -> bool) -> Wanted {
        let versions = self.by_id.get(&id).map_or(&[][..], Vec::as_slice);
        let begun = versions.partition_point(|version| version.since <= event.created_at);
        let held = &versions[begun.saturating_sub(1)..];
        let count = held
            .iter()
            .filter(|version| wants(&version.subscription))
            .count();
        if count == 0 {
            Wanted::No
        } else if begun > 0 && count == held.len() {
            Wanted::Yes
        } else {
            Wanted::Undecided
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

    /// Of the sample's subscription, whose event is of 12:00:00.000001.
    fn judged(versions: &[(&str, Change)]) -> Vec<Wanted> {
        let mut known = Versions::default();
        for (since, change) in versions {
            let mut subscription = samples::subscription();
            change(&mut subscription);
            known.add(samples::time(since), subscription);
        }
        let event = samples::event();
        known.of(&event, None).map(|(_, wanted)| wanted).collect()
    }

    #[test]
    fn an_event_is_judged_by_the_settings_of_its_time_and_since() {
        const BEFORE: &str = "2026-03-01T11:00:00Z";
        const JUST_BEFORE: &str = "2026-03-01T11:59:00Z";
        const AFTER: &str = "2026-03-01T12:00:01Z";
        let as_it_is: Change = |_| {};
        let disabled: Change = |it| it.enabled = false;
        let other_kind: Change = |it| it.kinds = Some(vec![Pattern::new("x")]);
        let paused: Change = |it| it.paused = true;
        for (versions, expected) in [
            (&[(BEFORE, as_it_is)][..], vec![Wanted::Yes]),
            (&[(BEFORE, disabled)], vec![]),
            (&[(BEFORE, as_it_is), (AFTER, paused)], vec![Wanted::Yes]),
            // Read late, it found the subscription disabled.
            (
                &[(BEFORE, as_it_is), (AFTER, disabled)],
                vec![Wanted::Undecided],
            ),
            // Published while it was disabled: a worker that was behind may have sent it.
            (
                &[(BEFORE, disabled), (AFTER, as_it_is)],
                vec![Wanted::Undecided],
            ),
            (
                &[(BEFORE, as_it_is), (AFTER, disabled), (AFTER, as_it_is)],
                vec![Wanted::Undecided],
            ),
            // What was over before the event is of no account.
            (
                &[(BEFORE, disabled), (JUST_BEFORE, as_it_is)],
                vec![Wanted::Yes],
            ),
            (&[(BEFORE, other_kind), (AFTER, disabled)], vec![]),
            // Nothing is known of its time.
            (&[(AFTER, as_it_is)], vec![Wanted::Undecided]),
            (&[(AFTER, other_kind)], vec![]),
        ] {
            assert_eq!(judged(versions), expected);
        }
    }

    #[test]
    fn only_merchants_that_need_it_are_looked_up() {
        let mut versions = Versions::default();
        let since = samples::time("2026-03-01T11:00:00Z");
        let event = samples::event();
        versions.add(since, samples::subscription());
        assert!(!versions.has_template(&event) && !versions.wants_changes(&event));
        let template = Subscription {
            id: Uuid::from_u128(1),
            scope: Scope::Transaction,
            ..samples::subscription()
        };
        versions.add(since, template);
        assert!(versions.has_template(&event));
        let through = versions.template(Uuid::from_u128(1), &event, None);
        assert_eq!(through, Wanted::Yes);
        assert_eq!(
            versions.template(Uuid::from_u128(2), &event, None),
            Wanted::No
        );
    }
}
