//! How many subscriptions can be used.

use super::Metrics;
use super::names::{Level, Names};

/// The subscriptions of the held shards.
#[derive(Debug)]
pub(super) struct Subscriptions {
    valid: Level,
    invalid: Level,
}

impl Subscriptions {
    pub(super) fn new(names: &mut Names) -> Self {
        let subscriptions = names.family(
            "posthorn_subscriptions",
            "Subscriptions of the held shards, by whether their settings can be used",
        );
        let settings = |value| subscriptions.get_or_create_owned(&[("settings", value)]);
        Self {
            valid: settings("valid"),
            invalid: settings("invalid"),
        }
    }
}

impl Metrics {
    /// The settings of so many subscriptions can be used, and of so many they cannot.
    pub fn set_subscriptions(&self, valid: usize, invalid: usize) {
        self.0.subscriptions.valid.set(valid as u64);
        self.0.subscriptions.invalid.set(invalid as u64);
    }
}
