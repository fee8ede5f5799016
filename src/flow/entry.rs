//! What is to be recorded of deliveries, and what came of recording it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{DeliveryKey, Epoch, OutcomeClass, Sent, Shard, State};

/// An entry, and the page whose checkpoint waits for it.
#[derive(Debug)]
pub struct ToRecord {
    pub entry: Entry,
    pub page: Option<PageId>,
}

/// Names the page in which a delivery was read, until the delivery is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

/// What one delivery has become, and the attempt that made it so, if there was one.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: DeliveryKey,
    /// The subscription whose lane the delivery takes.
    pub lane_id: Uuid,
    pub shard: Shard,
    /// Under which the shard was held when this came about.
    pub epoch: Epoch,
    pub transaction_id: Box<str>,
    pub change: Change,
    pub attempt: Option<Attempt>,
}

impl Entry {
    /// Of a transaction's subscription: whose lane it takes instead of one of its own.
    #[must_use]
    pub fn template_id(&self) -> Option<Uuid> {
        (self.lane_id != self.key.subscription_id).then_some(self.lane_id)
    }
}

#[derive(Clone, Debug)]
pub enum Change {
    /// A final state. `had_row`: it waited in `pending_deliveries`, and leaves it.
    Finish {
        state: State,
        attempts: u32,
        reason: Option<String>,
        had_row: bool,
    },
    /// Failed; the next attempt is due after the delay.
    Retry {
        attempts: u32,
        /// Of those, the ones that the receiver turned away,
        turned_away: u32,
        /// the last among them: the lane waits as long.
        told_to_wait: bool,
        delay: Duration,
        reason: String,
    },
    /// Not tried yet, and better kept in the database than in memory.
    Spill,
    /// The older events of the same transaction that wait in the database give way to
    /// this one, but for replays and for those named, which are in the air.
    SupersedeOlder { except: Vec<DeliveryKey> },
}

/// A row of `posthorn.attempts`, apart from its key.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub number: u32,
    pub started_at: DateTime<Utc>,
    pub duration: Duration,
    pub outcome: OutcomeClass,
    pub http_status: Option<u16>,
    pub reason: String,
    /// At most 2 KiB.
    pub body: Option<String>,
    /// Of the configuration that held.
    pub revision: i64,
    pub sent: Option<Sent>,
}

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Written {
    /// Shards that are no longer held under the entry's epoch: nothing of theirs was
    /// written.
    pub lost: HashSet<Shard>,
    /// Final rows that were already there. Never expected: the ledger has one row per
    /// delivery and generation, and another one came first.
    pub conflicts: u64,
}

/// What the recorder has before it. The dispatcher adds, the recorder takes away; the
/// keeper waits for nothing to be left before it takes back shards that it has lost.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<Unwritten>);

#[derive(Debug, Default)]
struct Unwritten {
    entries: AtomicUsize,
    attempts: AtomicUsize,
}

impl Backlog {
    pub fn add(&self, entry: &Entry) {
        self.0.entries.fetch_add(1, Ordering::Relaxed);
        let attempts = usize::from(entry.attempt.is_some());
        self.0.attempts.fetch_add(attempts, Ordering::Relaxed);
    }

    pub fn take(&self, entries: usize, attempts: usize) {
        let had = self.0.entries.fetch_sub(entries, Ordering::Relaxed);
        debug_assert!(had >= entries, "{entries} entries taken of {had}");
        let had = self.0.attempts.fetch_sub(attempts, Ordering::Relaxed);
        debug_assert!(had >= attempts, "{attempts} attempts taken of {had}");
    }

    /// Entries of any kind.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.load(Ordering::Relaxed)
    }

    /// Entries that tell of an attempt: what would be sent twice after a crash.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.0.attempts.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
