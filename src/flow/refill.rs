//! Deliveries that wait in the database: what the lanes ask for, and what they are brought.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::{DeliveryKey, Endpoint, Epoch, Event, Shard};

/// The most rows that one query brings, but for the last lane's: a bound on memory.
const ROWS: i64 = 2000;

/// Lanes with room, and the rows to pass over.
#[derive(Debug, Default)]
pub struct RefillOrder {
    pub lanes: Vec<RefillRequest>,
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
    pub shard: Shard,
    /// Under which the shard is held; the answer is for that lane only.
    pub epoch: Epoch,
    /// The id of the lane's subscription.
    pub lane_id: Uuid,
    pub room: i64,
    /// For replays, beside the room.
    pub replay_room: i64,
    /// The subscription's `order = "transaction"`: the oldest of each transaction only.
    pub heads_only: bool,
    /// Rows that are not due yet too: a disabled subscription withdraws them all.
    pub not_due_too: bool,
}

/// An open delivery read back into memory.
#[derive(Clone, Debug)]
pub struct Refilled {
    pub lane_id: Uuid,
    pub key: DeliveryKey,
    /// Of a transaction's subscription.
    pub endpoint: Option<Endpoint>,
    /// The transaction's subscription has ended or is gone: the delivery is to be withdrawn, and
    /// never goes to the template's own address.
    pub ended: bool,
    pub event: Arc<Event>,
    pub attempts: u32,
    /// Of those, the ones that the receiver turned away.
    pub turned_away: u32,
    pub opened_at: DateTime<Utc>,
}

/// What waits in the database for one lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    pub shard: Shard,
    pub lane_id: Uuid,
    /// Whether these are replays; the lane's others are counted apart.
    pub replays: bool,
    pub rows: u64,
    /// Until the earliest is due; zero if it already is.
    pub due_in: Duration,
    /// The endpoint has said that it takes nothing for so long.
    pub told_to_wait: Option<Duration>,
}

/// When a lane's next one will be due.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextDue {
    pub deliveries: Option<Duration>,
    pub replays: Option<Duration>,
}

/// What a refill brought to one lane.
#[derive(Debug)]
pub struct LaneRefill {
    pub lane_id: Uuid,
    pub shard: Shard,
    /// Under which the lane asked.
    pub epoch: Epoch,
    /// None: the database did not answer.
    pub found: Option<Vec<Refilled>>,
    pub next_due_in: NextDue,
}
