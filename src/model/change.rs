//! A change of the configuration.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// One change of the configuration: a row of `posthorn.config_history`.
#[derive(Clone, Debug)]
pub struct SettingsChange {
    /// What was changed: a subscription, a profile or a lock.
    pub kind: Kind,
    /// The id of the subscription, or the name of the profile or lock.
    pub subject: String,
    /// When it was changed, by the database's clock.
    pub at: DateTime<Utc>,
    /// The row as it is after the change; none where it was deleted.
    pub row: Option<Value>,
    /// The ids of events that were published by the transaction that made the change.
    pub own: Vec<Uuid>,
}

/// What a change of the configuration is a change of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One endpoint of one merchant.
    Subscription,
    /// A named set of defaults for subscriptions.
    Profile,
    /// Settings that the operator fixes for several subscriptions.
    Lock,
}
