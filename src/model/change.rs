//! A change of the configuration.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// A row of `posthorn.config_history`.
#[derive(Clone, Debug)]
pub struct Change {
    pub kind: Kind,
    /// A subscription's id, or the name of a profile or lock.
    pub subject: String,
    pub at: DateTime<Utc>,
    /// None: it was deleted.
    pub row: Option<Value>,
    /// Events that were published by the transaction that made it.
    pub own: Vec<Uuid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Subscription,
    Profile,
    Lock,
}
