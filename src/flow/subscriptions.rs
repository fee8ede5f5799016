//! Subscriptions as the database has them, on their way to those that take effect.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::settings::Layers;
use crate::model::{Identity, Settings, Subscription};

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
    /// The row itself: one that cannot be used is tried again.
    pub row: SubscriptionRow,
    /// The subscription that takes effect, if it says to whom and what at all.
    pub subscription: Option<Arc<Subscription>>,
    /// Why it cannot be used, if it cannot.
    pub why: Option<Arc<str>>,
}

/// Whose subscriptions a change of the configuration concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Those of these merchants.
    Merchants(BTreeSet<String>),
    /// Those of any merchant, or of more than are told one by one.
    Any,
}
