//! Profiles, locks and subscriptions as a file has them, not yet merged.

use crate::model::Settings;
use crate::model::settings::LockReach;

/// A named set of subscription defaults.
#[derive(Clone, Debug)]
pub struct FileProfile {
    /// The profile's name, which subscriptions give to have it.
    pub name: String,
    /// The settings that hold where the subscription gives none.
    pub settings: Settings,
}

/// Settings that the operator fixes for several subscriptions.
#[derive(Clone, Debug)]
pub struct FileLock {
    /// The lock's name, for people who wonder where a setting comes from.
    pub name: String,
    /// The subscriptions for which it holds.
    pub reach: LockReach,
    /// The settings that hold whatever the subscription and its profile say.
    pub settings: Settings,
}

/// A subscription as the file has it, profile and locks not yet merged in.
#[derive(Clone, Debug)]
pub struct FileSubscription {
    /// The tenant that the subscription belongs to.
    pub merchant: String,
    /// The subscription's name, unique within the merchant.
    pub name: String,
    /// The name of its profile: a `[[profile]]` of the same file, or one that comes with Posthorn.
    pub profile: Option<String>,
    /// Whether the subscription matches events at all.
    pub enabled: bool,
    /// Whether the subscription is paused: its deliveries are kept as pending for now.
    pub paused: bool,
    /// The settings that it gives itself.
    pub settings: Settings,
    /// The line at which it begins in the file, for messages.
    pub line: usize,
}
