//! What the dispatcher is told, in the order in which it happens.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::flow::entry::{Attempt, PageId, ToRecord};
use crate::flow::refill::{LaneRefill, Refilled, Waiting};
use crate::model::event::StatusesBefore;
use crate::model::{
    DeliveryKey, Endpoint, Epoch, Event, Shard, Snapshot, State, Subscription, Verdict,
};
use crate::plan::Next;
use crate::route::versions::Versions;
use crate::shape::Unsendable;

#[derive(Debug)]
pub enum Input {
    /// From the feed: shards to act for from now on.
    Adopt(Adoption),
    /// From the feed: new and changed subscriptions, of any shard.
    Subscriptions(Vec<Arc<Subscription>>),
    /// From the feed: committed events.
    Page(PageToRoute),
    /// From the feed: these shards have been read up to this snapshot.
    WindowRead { shards: Vec<Shard>, end: Snapshot },
    /// From the feed, after the last page: hand these over.
    Drain(Vec<(Shard, Epoch)>),
    /// From the keeper, and then from the feed: these are no longer ours. Nothing more may be
    /// sent for them.
    Lost(Vec<Shard>),
    /// From the feed, now and then: what waits in the database. Hand-run SQL may have made
    /// something due.
    Waiting(Vec<Waiting>),
    /// From the replays: all of them that wait in the database, now and then.
    Replays(Vec<Waiting>),
    /// From the keeper: which checkpoints have moved?
    Checkpoints(oneshot::Sender<Vec<(Shard, Epoch, Snapshot)>>),
    /// From a send.
    Landed(Landed),
    /// From the recorder: these entries are durable.
    Recorded(Vec<Recorded>),
    /// From the recorder: the database refuses this entry, and anything less of it.
    Refused(Box<ToRecord>),
    /// From a refill.
    Refilled(Vec<LaneRefill>),
    /// From the replays: rows of one that was cancelled, to be withdrawn.
    Withdrawn(Vec<Refilled>),
    /// This transaction's subscription has ended: what waits for it is withdrawn.
    Ended {
        lane_id: Uuid,
        subscription_id: Uuid,
    },
}

#[derive(Debug)]
pub struct Adoption {
    pub shards: Vec<(Shard, Epoch)>,
    pub subscriptions: Vec<Arc<Subscription>>,
    pub waiting: Vec<Waiting>,
}

/// The endpoints that transactions brought, each with its id, by event.
pub type Endpoints = HashMap<Uuid, Vec<(Uuid, Endpoint)>>;

#[derive(Debug)]
pub struct PageToRoute {
    pub events: Vec<Event>,
    /// Deliveries that have a row from before a take-over.
    pub known: HashSet<DeliveryKey>,
    pub endpoints: Endpoints,
    /// The status of each event's transaction before it, for merchants where that counts.
    pub before: StatusesBefore,
    /// How subscriptions were at the events' time, where they have changed since.
    pub versions: Versions,
    /// Answered when the page is in the lanes: the next one may be read.
    pub taken: oneshot::Sender<()>,
}

/// An attempt that was made, judged and planned.
#[derive(Debug)]
pub struct Tried {
    pub attempt: Attempt,
    pub verdict: Verdict,
    /// Whether it was the credential that was refused.
    pub refused: bool,
    /// Whether the attempt's request went out twice, as its kept connection turned out closed.
    pub again: bool,
    /// The receiver turned the attempt away, and takes nothing for so long.
    pub told_to_wait: Option<Duration>,
    pub next: Next,
}

#[derive(Debug)]
pub struct Landed {
    pub key: DeliveryKey,
    pub lane_id: Uuid,
    pub shard: Shard,
    /// Under which the shard was held when it was sent.
    pub epoch: Epoch,
    pub took: Duration,
    pub result: Result<Tried, Failed>,
}

/// Why there is no attempt to judge.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
    /// A fault of Posthorn's own; the payload is not in its text.
    #[error("internal error; see the worker's log")]
    Panicked,
}

/// An entry that the recorder has dealt with.
#[derive(Debug)]
pub struct Recorded {
    pub key: DeliveryKey,
    pub lane_id: Uuid,
    pub shard: Shard,
    /// The entry's: under which the shard was held when it came about.
    pub epoch: Epoch,
    pub page: Option<PageId>,
    pub kind: RecordedKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedKind {
    Finished(State),
    /// Due again then.
    Retry(Instant),
    Spilled,
    SupersededOlder,
    /// The database refuses it: nothing was written.
    Refused,
    /// The shard is another worker's: nothing was written.
    Fenced,
}
