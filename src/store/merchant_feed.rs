//! Reading the log for those who fetch their events from a gateway: everybody's newest events,
//! merchants' feeds from where they stopped, and the events of single transactions.
//!
//! How a worker reads the log is [`log`](super::log)'s matter.

use uuid::Uuid;

use super::StoreError;
use crate::model::{Event, Snapshot};

mod feeds;
mod newest;
mod pages;
mod transactions;

pub use feeds::{FeedRequest, Slice, read_feeds};
pub use newest::{LogPage, read_log, snapshot_before};
pub use transactions::read_transactions;

/// Events with the transactions that wrote them, as they were at `until`.
#[derive(Debug)]
pub struct FeedPage {
    /// What was committed when the events were read.
    pub until: Snapshot,
    /// The events, each behind the id of its transaction.
    pub events: Vec<(u64, Event)>,
    /// How far the reading came; none: through all that was asked for.
    pub reached: Option<Reached>,
}

/// A reading by `(xid, id)` that stopped before the end of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The transaction of the first row that was gone through.
    pub first: u64,
    /// The transaction of the last row that was gone through.
    pub last: u64,
    /// The last row's id.
    pub id: Uuid,
}

/// Which part of the log to read: what was written by transactions that `since` does not
/// include and `until` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What is known already.
    pub since: Snapshot,
    /// Up to where; none: this very moment, which the answer then names.
    pub until: Option<Snapshot>,
    /// Only events with a greater id.
    pub after: Uuid,
}

fn snapshot(text: &str) -> Result<Snapshot, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Unreadable("a snapshot"))
}
