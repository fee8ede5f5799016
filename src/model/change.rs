//! A change of the configuration.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// A row of `posthorn.config_history`.
#[derive(Clone, Debug)]
pub struct Change {
    pub kind: Kind,
    /// A subscription's id, or the name of a profile or lock.
    pub subject: String,
    pub at: DateTime<Utc>,
    /// None: it was deleted.
    pub row: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Subscription,
    Profile,
    Lock,
}
