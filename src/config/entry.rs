//! Profiles, locks and subscriptions as a file has them, not yet merged.

use crate::model::Settings;
use crate::model::settings::LockReach;

/// A named set of subscription defaults.
#[derive(Clone, Debug)]
pub struct FileProfile {
    pub name: String,
    pub settings: Settings,
}

/// Settings that the operator fixes.
#[derive(Clone, Debug)]
pub struct FileLock {
    pub name: String,
    pub reach: LockReach,
    pub settings: Settings,
}

/// A subscription as the file has it, profile and locks not yet merged in.
#[derive(Clone, Debug)]
pub struct FileSubscription {
    pub merchant: String,
    /// Unique within the merchant.
    pub name: String,
    /// A `[[profile]]` of the same file, or one that comes with Posthorn.
    pub profile: Option<String>,
    pub enabled: bool,
    pub paused: bool,
    pub settings: Settings,
    /// Where it stands in the file, for messages.
    pub line: usize,
}
