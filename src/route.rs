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

    /// The subscriptions of a merchant.
    #[must_use]
    pub fn of_merchant(&self, shard: Shard, merchant: &str) -> &[Arc<Subscription>] {
        let merchants = self.shards.get(&shard);
        let found = merchants.and_then(|merchants| merchants.get(merchant));
        found.map_or(&[], Vec::as_slice)
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

    /// How many subscriptions have settings that cannot be used.
    #[must_use]
    pub const fn unusable_count(&self) -> usize {
        self.unusable
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
mod tests;
