//! What the dispatcher is told, in the order in which it happens.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::flow::entry::{Attempt, PageId, ToRecord};
use crate::flow::refill::{LaneRefill, Refilled, Waiting};
use crate::flow::shards::Checkpoint;
use crate::model::event::StatusesBefore;
use crate::model::{
    DeliveryKey, Endpoint, Epoch, Event, Shard, Snapshot, State, Subscription, Verdict,
};
use crate::plan::Next;
use crate::route::versions::Versions;
use crate::shape::Unsendable;

/// What the dispatcher is told, by whomever.
#[derive(Debug)]
pub enum Input {
    /// The feed: these shards are to be acted for from now on.
    Adopt(Adoption),
    /// The feed: these subscriptions are new here or changed, of any shard.
    Subscriptions(Vec<Arc<Subscription>>),
    /// The feed: the shards have so many subscriptions, those that are not here as well.
    Counted(usize),
    /// The feed: these events are committed; answered when they are in the lanes, and the next
    /// page may be read.
    Page(PageToRoute, oneshot::Sender<()>),
    /// The feed: these merchants have had no event for a while. Answered with those of whom nothing
    /// is in memory any more.
    Forget(Vec<(String, Shard)>, oneshot::Sender<Vec<Forgotten>>),
    /// The feed: these shards have been read up to this snapshot.
    WindowRead {
        /// The shards.
        shards: Vec<Shard>,
        /// The snapshot up to which they were read.
        end: Snapshot,
    },
    /// The feed, after the last page: hand these shards over.
    Drain(Vec<(Shard, Epoch)>),
    /// The keeper, and then the feed: these shards are no longer ours. Nothing more may be sent for
    /// them.
    Lost(Vec<Shard>),
    /// The feed, now and then: this waits in the database. Hand-run SQL may have made something
    /// due.
    Waiting(Vec<Waiting>),
    /// The replays, now and then: all of these wait in the database.
    Replays(Vec<Waiting>),
    /// The keeper: which checkpoints have moved?
    Checkpoints(oneshot::Sender<Vec<Checkpoint>>),
    /// A send: this came of it.
    Landed(Landed),
    /// The recorder: these entries are durable.
    Recorded(Vec<Recorded>),
    /// The recorder: the database refuses this entry, and anything less of it.
    Refused(Box<ToRecord>),
    /// A refill: these rows are refilled.
    Refilled(Vec<LaneRefill>),
    /// The replays: these rows are of a replay that was cancelled, and are to be withdrawn.
    Withdrawn(Vec<Refilled>),
    /// This transaction's subscription has ended: what waits for it is withdrawn.
    Ended {
        /// The subscription whose lane it takes.
        lane_id: Uuid,
        /// The transaction's subscription.
        subscription_id: Uuid,
    },
}

/// A merchant of whom the dispatcher knows nothing any more.
#[derive(Debug)]
pub struct Forgotten {
    /// The merchant.
    pub merchant: String,
    /// The merchant's subscriptions.
    pub subscriptions: Vec<Uuid>,
}

/// Shards that the dispatcher begins to act for, and what it needs for that.
#[derive(Debug)]
pub struct Adoption {
    /// The shards, each with the epoch under which it was taken.
    pub shards: Vec<(Shard, Epoch)>,
    /// The subscriptions of the merchants for which something waits.
    pub subscriptions: Vec<Arc<Subscription>>,
    /// What waits in the database for their lanes.
    pub waiting: Vec<Waiting>,
}

/// The endpoints that transactions brought, each with its id, by event.
pub type Endpoints = HashMap<Uuid, Vec<(Uuid, Endpoint)>>;

/// Committed events, with all that routing must know of them.
#[derive(Debug, Default)]
pub struct PageToRoute {
    /// The events, in the order of their ids.
    pub events: Vec<Arc<Event>>,
    /// Deliveries that have a row from before a take-over.
    pub known: HashSet<DeliveryKey>,
    /// The endpoints that the events' transactions brought.
    pub endpoints: Endpoints,
    /// The status of each event's transaction before it, for merchants where that counts.
    pub before: StatusesBefore,
    /// How subscriptions were at the events' time, where they have changed since.
    pub versions: Versions,
}

/// An attempt that was made, judged and planned.
#[derive(Debug)]
pub struct Tried {
    /// The attempt as it is recorded.
    pub attempt: Attempt,
    /// What the subscription's rule says of the outcome.
    pub verdict: Verdict,
    /// Whether it was the credential that was refused.
    pub refused: bool,
    /// Whether the attempt's request went out twice, as its kept connection turned out closed.
    pub again: bool,
    /// How long the receiver takes nothing, where it turned the attempt away.
    pub told_to_wait: Option<Duration>,
    /// What becomes of the delivery.
    pub next: Next,
}

/// What came of a send.
#[derive(Debug)]
pub struct Landed {
    /// The delivery.
    pub key: DeliveryKey,
    /// The subscription whose lane it was sent by.
    pub lane_id: Uuid,
    /// The shard that the delivery belongs to.
    pub shard: Shard,
    /// The epoch under which the shard was held when it was sent.
    pub epoch: Epoch,
    /// How long the send took.
    pub took: Duration,
    /// The attempt, or why there is none.
    pub result: Result<Tried, Failed>,
}

/// Why there is no attempt to judge.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The delivery can never be sent.
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
    /// A fault of Posthorn's own; the payload is not in its text.
    #[error("internal error; see the worker's log")]
    Panicked,
}

/// An entry that the recorder has dealt with.
#[derive(Debug)]
pub struct Recorded {
    /// The delivery.
    pub key: DeliveryKey,
    /// The subscription whose lane it takes.
    pub lane_id: Uuid,
    /// The shard that the delivery belongs to.
    pub shard: Shard,
    /// The epoch of the entry: under which the shard was held when it came about.
    pub epoch: Epoch,
    /// The page whose checkpoint may have waited for it.
    pub page: Option<PageId>,
    /// What became of the entry.
    pub kind: RecordedKind,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedKind {
    /// The delivery's final state is in the ledger.
    Finished(State),
    /// The delivery waits in the database and is due again at this instant.
    Retry(Instant),
    /// The delivery waits in the database for its first attempt.
    Spilled,
    /// The older events of the transaction are superseded.
    SupersededOlder,
    /// The database refuses the entry: nothing was written.
    Refused,
    /// The shard is another worker's: nothing was written.
    Fenced,
}
