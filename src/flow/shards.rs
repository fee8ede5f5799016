//! What is said of shards: who has them, and what becomes of them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Epoch, Shard, Snapshot};

/// What a worker sees when it looks at the fleet.
#[derive(Clone, Debug)]
pub struct FleetView {
    pub live_workers: usize,
    pub shards: usize,
    /// Free, with a lease that has run out, or this worker's own (which it may have given
    /// up by its own clock).
    pub takeable: Vec<Shard>,
}

/// A shard just taken, with what its last owner left.
#[derive(Clone, Debug)]
pub struct Taken {
    pub shard: Shard,
    pub epoch: Epoch,
    pub checkpoint: Snapshot,
    pub checkpoint_at: DateTime<Utc>,
    /// The cluster in which the checkpoint means something.
    pub cluster: String,
}

/// What a worker's memory knows and the tables do not.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    pub in_flight: usize,
    pub queued: usize,
    /// Subscriptions that get only probes.
    pub breakers_open: Vec<Uuid>,
    /// Subscriptions whose settings cannot be used, and why.
    pub unusable: Vec<(Uuid, String)>,
}

/// What came of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Where it happened.
    pub cluster: String,
    /// The shards that are still this worker's. One that is missing was taken by another.
    pub ours: Vec<Shard>,
}

/// A shard that may be handed over.
#[derive(Debug)]
pub struct Drained {
    pub shard: Shard,
    /// It may have been lost since, and taken again.
    pub epoch: Epoch,
    /// The last one, if there is one.
    pub checkpoint: Option<Snapshot>,
}

/// What the keeper tells the reader.
#[derive(Debug)]
pub enum Order {
    /// These were taken, in the cluster named.
    Adopt { taken: Vec<Taken>, cluster: String },
    /// Hand these over.
    Leave(Vec<(Shard, Epoch)>),
    /// These are lost.
    Drop(Vec<Shard>),
}
