//! The configuration as it was: `store::history`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use posthorn::model::Subscription;
use posthorn::route::versions::Versions;
use uuid::Uuid;

use super::Database;

/// A row of `posthorn.config_history`.
#[derive(Clone, Debug)]
pub struct Version {
    pub at: DateTime<Utc>,
    pub subscription: Arc<Subscription>,
}

impl Database {
    pub(super) fn note_version(&mut self, at: DateTime<Utc>, subscription: &Arc<Subscription>) {
        let version = Version {
            at,
            subscription: Arc::clone(subscription),
        };
        let versions = self.history.entry(subscription.id).or_default();
        versions.push(version);
    }

    pub fn newest_change(&self) -> Option<DateTime<Utc>> {
        let all = self.history.values().flatten();
        all.map(|version| version.at).max()
    }

    /// `read_changes_since`: of each subscription of these merchants the version of that time
    /// and all later ones.
    pub fn versions_since(&self, merchants: &[String], since: DateTime<Utc>) -> Versions {
        let mut found = Versions::default();
        let all = self.history.values();
        for versions in all.filter(|all| is_of(&all[0].subscription, merchants)) {
            let first = versions.iter().rposition(|version| version.at <= since);
            for version in &versions[first.unwrap_or_default()..] {
                let subscription = Subscription::clone(&version.subscription);
                found.add(version.at, Vec::new(), subscription);
            }
        }
        found
    }

    /// Whether the subscription was enabled then.
    pub fn was_enabled(&self, id: Uuid, at: DateTime<Utc>) -> bool {
        let versions = &self.history[&id];
        let held = versions.iter().rfind(|version| version.at <= at);
        held.is_none_or(|version| version.subscription.enabled)
    }

    pub fn was_ever_disabled(&self, id: Uuid) -> bool {
        let mut versions = self.history[&id].iter();
        versions.any(|version| !version.subscription.enabled)
    }
}

fn is_of(subscription: &Subscription, merchants: &[String]) -> bool {
    let mut merchants = merchants.iter();
    merchants.any(|merchant| **merchant == *subscription.merchant)
}
