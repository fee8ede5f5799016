//! What is to be recorded of deliveries, and what came of recording it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{DeliveryKey, Epoch, OutcomeClass, Sent, Shard, State};

/// An entry for the recorder, and the page whose checkpoint waits for it.
#[derive(Debug)]
pub struct ToRecord {
    /// What is to be recorded.
    pub entry: Entry,
    /// The page in which the delivery was read; none where no checkpoint waits for it.
    pub page: Option<PageId>,
}

/// The name of the page in which a delivery was read, until the delivery is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

/// What one delivery has become, and the attempt that made it so, if there was one.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The delivery.
    pub key: DeliveryKey,
    /// The subscription whose lane the delivery takes.
    pub lane_id: Uuid,
    /// The shard that the delivery belongs to.
    pub shard: Shard,
    /// The epoch under which the shard was held when this came about.
    pub epoch: Epoch,
    /// The transaction of the event.
    pub transaction_id: Box<str>,
    /// What the delivery has become.
    pub change: Change,
    /// The attempt that made it so; none where there was none.
    pub attempt: Option<Attempt>,
}

impl Entry {
    /// The template whose lane the delivery takes, where it goes to an address that a transaction
    /// brought; none for a delivery with a lane of its own.
    #[must_use]
    pub fn template_id(&self) -> Option<Uuid> {
        (self.lane_id != self.key.subscription_id).then_some(self.lane_id)
    }
}

/// What a delivery becomes in the database.
#[derive(Clone, Debug)]
pub enum Change {
    /// The delivery is in a final state.
    Finish {
        /// The final state.
        state: State,
        /// How many attempts were made.
        attempts: u32,
        /// Why it ended so, if there is anything to say.
        reason: Option<String>,
        /// Whether it waited in `pending_deliveries`, and leaves it.
        had_row: bool,
    },
    /// The delivery failed, and its next attempt is due after the delay.
    Retry {
        /// How many attempts were made.
        attempts: u32,
        /// How many of the attempts the receiver turned away.
        turned_away: u32,
        /// Whether the last attempt was turned away: the lane waits as long.
        told_to_wait: bool,
        /// How long to wait before the next attempt.
        delay: Duration,
        /// Why the attempt failed.
        reason: String,
    },
    /// The delivery was not tried yet, and is better kept in the database than in memory.
    Spill,
    /// The older events of the same transaction that wait in the database are superseded by this
    /// one, but for replays.
    SupersedeOlder {
        /// The deliveries that are not superseded, because they are in the air.
        except: Vec<DeliveryKey>,
    },
}

/// An attempt as `posthorn.attempts` has it, apart from its key.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The attempt's number, from 1.
    pub number: u32,
    /// When the request was begun, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// How long the exchange took.
    pub duration: Duration,
    /// What it came to.
    pub outcome: OutcomeClass,
    /// The status of the answer; none where no answer came.
    pub http_status: Option<u16>,
    /// What support staff read of it, masked.
    pub reason: String,
    /// The beginning of the answer's body, masked: at most 2 KiB.
    pub body: Option<String>,
    /// The revision of the configuration that held.
    pub revision: i64,
    /// The request as it went out; none where none did.
    pub sent: Option<Sent>,
}

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Written {
    /// The shards that are no longer held under the entry's epoch: nothing of theirs was written.
    pub lost: HashSet<Shard>,
    /// How many final rows were already there. Never expected: the ledger has one row per delivery
    /// and generation, and another one came first.
    pub conflicts: u64,
}

/// How much the recorder has before it. The dispatcher adds, the recorder takes away; the keeper
/// waits for nothing to be left before it takes back shards that it has lost.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<Unrecorded>);

#[derive(Debug, Default)]
struct Unrecorded {
    entries: AtomicUsize,
    attempts: AtomicUsize,
}

impl Backlog {
    /// Counts an entry that was given to the recorder.
    pub fn add(&self, entry: &Entry) {
        self.0.entries.fetch_add(1, Ordering::Relaxed);
        let attempts = usize::from(entry.attempt.is_some());
        self.0.attempts.fetch_add(attempts, Ordering::Relaxed);
    }

    /// Counts entries that are recorded, and how many of them tell of an attempt.
    pub fn take(&self, entries: usize, attempts: usize) {
        let had = self.0.entries.fetch_sub(entries, Ordering::Relaxed);
        debug_assert!(had >= entries, "{entries} entries taken of {had}");
        let had = self.0.attempts.fetch_sub(attempts, Ordering::Relaxed);
        debug_assert!(had >= attempts, "{attempts} attempts taken of {had}");
    }

    /// How many entries there are, of any kind.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.load(Ordering::Relaxed)
    }

    /// How many entries tell of an attempt: what would be sent twice after a crash.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.0.attempts.load(Ordering::Relaxed)
    }

    /// Whether nothing is left to record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
