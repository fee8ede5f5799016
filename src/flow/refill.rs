//! Deliveries that wait in the database: what the lanes ask for, and what they are brought.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{DeliveryKey, Endpoint, Epoch, Event, Shard};

/// The most rows that one query brings, but for the last lane's: a bound on memory.
const ROWS: i64 = 2000;

/// What is to be read back: the lanes with room, and the rows to pass over.
#[derive(Debug, Default)]
pub struct RefillOrder {
    /// The lanes that have room.
    pub lanes: Vec<RefillRequest>,
    /// The deliveries that are in memory already.
    pub held: Vec<DeliveryKey>,
}

impl RefillOrder {
    /// Whether the query brings as many rows already as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let rooms = self.lanes.iter().map(|lane| lane.room + lane.replay_room);
        rooms.sum::<i64>() >= ROWS
    }
}

/// A lane that has room, and what it holds already.
#[derive(Clone, Debug)]
pub struct RefillRequest {
    /// The shard whose lane it is.
    pub shard: Shard,
    /// The epoch under which the shard is held; the answer is for that lane only.
    pub epoch: Epoch,
    /// The id of the lane's subscription.
    pub lane_id: Uuid,
    /// How many rows the lane has room for.
    pub room: i64,
    /// How many rows of replays the lane has room for, beside the others.
    pub replay_room: i64,
    /// Whether the oldest row of each transaction alone is wanted: the subscription has `order =
    /// "transaction"`.
    pub heads_only: bool,
    /// Whether rows that are not due yet are wanted too: a disabled subscription withdraws them
    /// all.
    pub not_due_too: bool,
}

impl RefillRequest {
    /// What is brought to the lane that asked; none is found where the database did not answer.
    #[must_use]
    pub fn answer(&self, found: Option<Vec<Refilled>>, next_due_in: NextDue) -> LaneRefill {
        LaneRefill {
            lane_id: self.lane_id,
            shard: self.shard,
            epoch: self.epoch,
            found,
            next_due_in,
        }
    }
}

/// An open delivery read back into memory.
#[derive(Clone, Debug)]
pub struct Refilled {
    /// The subscription whose lane it takes.
    pub lane_id: Uuid,
    /// The delivery.
    pub key: DeliveryKey,
    /// The endpoint that the transaction brought; none for a subscription's own address.
    pub endpoint: Option<Endpoint>,
    /// Whether the transaction's subscription has ended or is gone: the delivery is to be
    /// withdrawn, and never goes to the template's own address.
    pub ended: bool,
    /// Whether the replay that opened it was cancelled: it is to be withdrawn.
    pub cancelled: bool,
    /// The event to deliver.
    pub event: Arc<Event>,
    /// How many attempts were made.
    pub attempts: u32,
    /// How many of the attempts the receiver turned away.
    pub turned_away: u32,
    /// When the delivery got its row, by the database's clock.
    pub opened_at: DateTime<Utc>,
}

/// What waits in the database for one lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    /// The shard whose lane it is.
    pub shard: Shard,
    /// The subscription whose lane it is.
    pub lane_id: Uuid,
    /// Whether these rows are replays; the lane's others are counted apart.
    pub replays: bool,
    /// How many rows wait.
    pub rows: u64,
    /// How long it is until the earliest is due; zero if it already is.
    pub due_in: Duration,
    /// How long the endpoint has said that it takes nothing.
    pub told_to_wait: Option<Duration>,
}

/// How long it is until a lane's next row is due.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextDue {
    /// The wait for the next delivery; none where none waits.
    pub deliveries: Option<Duration>,
    /// The wait for the next replay; none where none waits.
    pub replays: Option<Duration>,
}

/// What a refill brought to one lane.
#[derive(Debug)]
pub struct LaneRefill {
    /// The subscription whose lane asked.
    pub lane_id: Uuid,
    /// The shard whose lane it is.
    pub shard: Shard,
    /// The epoch under which the lane asked.
    pub epoch: Epoch,
    /// The rows that were found; none where the database did not answer.
    pub found: Option<Vec<Refilled>>,
    /// When there is more for the lane.
    pub next_due_in: NextDue,
}
