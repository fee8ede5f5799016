//! Subscriptions as the database has them, on their way to those that take effect.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::settings::Layers;
use crate::model::{Identity, Settings, Shard, Subscription};

/// A row of `posthorn.subscriptions` with all that is said of it elsewhere.
#[derive(Clone, Debug)]
pub struct SubscriptionRow {
    /// Who it is, and whether it is enabled and paused.
    pub identity: Identity,
    /// What it gives itself, its profile and the locks give.
    pub layers: Layers,
    /// The settings that hold: the layers, merged.
    pub settings: Settings,
    /// Who may change the row: `sql` or `file`.
    pub managed_by: String,
    /// An answer of `disable_statuses` disabled it.
    pub gone: bool,
}

/// What became of a row of `posthorn.subscriptions`.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Who it is.
    pub identity: Identity,
    /// The subscription that takes effect, if it says to whom and what at all.
    pub subscription: Option<Arc<Subscription>>,
    /// The row and why it cannot be used, if it cannot: it is tried again.
    pub unusable: Option<Box<(SubscriptionRow, Arc<str>)>>,
}

/// What was read of some subscriptions.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The subscriptions.
    pub rows: Vec<Resolved>,
    /// When the configuration was changed last, asked after the rows were read: an event from
    /// before may have met other settings than theirs.
    pub changed_at: Option<DateTime<Utc>>,
}

/// What is read of subscriptions beside the events.
#[derive(Clone, Debug)]
pub enum Look {
    /// All subscriptions of these merchants.
    Merchants(Vec<String>),
    /// The next page of the subscriptions of shards.
    Shards(Vec<Place>),
}

/// How far the subscriptions of a shard have been gone through: after which id to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard.
    pub shard: Shard,
    /// The last id.
    pub after: Uuid,
}

impl Place {
    /// The beginning of a shard.
    #[must_use]
    pub const fn start(shard: Shard) -> Self {
        Self {
            shard,
            after: Uuid::nil(),
        }
    }
}

/// The merchants whose subscriptions a change of the configuration concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Those of these merchants.
    Merchants(BTreeSet<String>),
    /// Those of any merchant, or of more than are told one by one.
    Any,
}
