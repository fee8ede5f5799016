//! What is said of shards: who has them, and what becomes of them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{Epoch, Shard, Snapshot};

/// What a worker sees when it looks at the fleet.
#[derive(Clone, Debug)]
pub struct FleetView {
    /// How many workers are alive, this one included.
    pub live_workers: usize,
    /// How many shards there are.
    pub shards: usize,
    /// The shards that may be taken: free, with a lease that has run out, or this worker's own
    /// (which it may have given up by its own clock).
    pub takeable: Vec<Shard>,
}

/// A shard just taken, with what its last owner left.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The shard.
    pub shard: Shard,
    /// The epoch under which it was taken.
    pub epoch: Epoch,
    /// The snapshot up to which everything of it is durable.
    pub checkpoint: Snapshot,
    /// When the checkpoint was written, by the database's clock.
    pub checkpoint_at: DateTime<Utc>,
    /// The cluster in which the checkpoint means something.
    pub cluster: String,
}

/// What a worker's memory knows and the tables do not.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// How many requests are in the air.
    pub in_flight: usize,
    /// How many deliveries wait in memory.
    pub queued: usize,
    /// The subscriptions that get only probes.
    pub breakers_open: Vec<Uuid>,
    /// The subscriptions whose settings cannot be used, and why.
    pub unusable: Vec<(Uuid, String)>,
}

/// What came of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The cluster in which the shards were renewed.
    pub cluster: String,
    /// The shards that are still this worker's. One that is missing was taken by another.
    pub ours: Vec<Shard>,
}

/// A checkpoint of a shard that is held under this epoch: everything of the shard up to the
/// snapshot is durable.
pub type Checkpoint = (Shard, Epoch, Snapshot);

/// A shard that may be handed over.
#[derive(Debug)]
pub struct Drained {
    /// The shard.
    pub shard: Shard,
    /// The epoch under which it was drained: it may have been lost since, and taken again.
    pub epoch: Epoch,
    /// The last checkpoint, if there is one.
    pub checkpoint: Option<Snapshot>,
}

/// What the keeper tells the reader.
#[derive(Debug)]
pub enum ShardOrder {
    /// Read for these shards from now on.
    Adopt {
        /// The shards, with what their last owners left.
        taken: Vec<Taken>,
        /// The name of the cluster in which they were taken.
        cluster: String,
    },
    /// Hand these shards over.
    Leave(Vec<(Shard, Epoch)>),
    /// Forget these shards, which are lost.
    Lose(Vec<Shard>),
}
