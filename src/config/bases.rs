//! What the subscriptions of a file stand on: its profiles and locks, found without a search,
//! because a file may have a hundred thousand of either.

use std::collections::HashMap;
use std::sync::Arc;

use super::builtin;
use super::entry::{FileLock, FileProfile, FileSubscription};
use crate::model::Settings;
use crate::model::settings::Layers;

pub(super) struct Bases<'f> {
    /// The profiles by name; those that come with Posthorn too.
    profiles: HashMap<&'f str, &'f FileProfile>,
    /// The locks by the merchant that they reach, if it is one.
    locks: HashMap<Option<&'f str>, Vec<&'f FileLock>>,
}

impl<'f> Bases<'f> {
    pub fn of(profiles: &'f [FileProfile], locks: &'f [FileLock]) -> Self {
        let mut bases = Self {
            profiles: HashMap::new(),
            locks: HashMap::new(),
        };
        for profile in profiles.iter().chain(builtin::profiles()) {
            bases.profiles.entry(&profile.name).or_insert(profile);
        }
        for lock in locks {
            let merchant = lock.reach.merchant.as_deref();
            bases.locks.entry(merchant).or_default().push(lock);
        }
        bases
    }

    pub fn profile(&self, name: &str) -> Option<&'f FileProfile> {
        self.profiles.get(name).copied()
    }

    /// Lays together what a subscription, its profile and its locks say.
    pub fn layers(&self, subscription: &FileSubscription) -> Layers {
        let profile = subscription.profile.as_deref();
        let merchant = subscription.merchant.as_str();
        let mut locks: Vec<&FileLock> = [Some(merchant), None]
            .iter()
            .filter_map(|reach| self.locks.get(reach))
            .flatten()
            .copied()
            .filter(|lock| lock.reach.covers(merchant, profile))
            .collect();
        locks.sort_by_key(|lock| (lock.reach.breadth(), &lock.name));
        let shared =
            |name: &String, settings: &Settings| (name.clone(), Arc::new(settings.clone()));
        Layers {
            locks: locks
                .into_iter()
                .map(|lock| shared(&lock.name, &lock.settings))
                .collect(),
            own: subscription.settings.clone(),
            profile: profile
                .and_then(|name| self.profile(name))
                .map(|profile| shared(&profile.name, &profile.settings)),
        }
    }
}
