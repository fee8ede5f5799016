//! Brings due deliveries back from the database, for many lanes in one query.

use std::collections::HashMap;

use tokio::sync::mpsc::UnboundedSender;
use tracing::debug;
use uuid::Uuid;

use super::input::{Input, LaneRefill};
use crate::crash::Point;
use crate::http::metrics::Metrics;
use crate::model::{DeliveryKey, Shard};
use crate::store::pending::{NextDue, RefillRequest, Refilled, find_next_due, refill_lanes};
use crate::store::{Pool, STATEMENT, StoreError, within};

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

/// Answers every lane of the order, whatever the database does.
pub async fn refill(
    pool: Pool,
    order: RefillOrder,
    dispatcher: UnboundedSender<Input>,
    metrics: Metrics,
) {
    let RefillOrder { lanes, held } = order;
    let answer = match within(STATEMENT, refill_all(&pool, &lanes, &held)).await {
        Ok(answer) => answer,
        Err(error) => {
            metrics.database_error();
            debug!(%error, "cannot refill lanes");
            failed(&lanes)
        }
    };
    Point::Refilled.pass();
    // The dispatcher is gone only when the worker ends.
    let _ = dispatcher.send(Input::Refilled(answer));
}

async fn refill_all(
    pool: &Pool,
    lanes: &[RefillRequest],
    held: &[DeliveryKey],
) -> Result<Vec<LaneRefill>, StoreError> {
    let mut found: HashMap<Uuid, Vec<Refilled>> = HashMap::new();
    let mut transaction = pool.begin().await?;
    for row in refill_lanes(&mut transaction, lanes, held).await? {
        found.entry(row.lane_id).or_default().push(row);
    }
    let asked: Vec<(Shard, Uuid)> = lanes.iter().map(|it| (it.shard, it.lane_id)).collect();
    let mut next_due: HashMap<Uuid, NextDue> = find_next_due(&mut transaction, &asked)
        .await?
        .into_iter()
        .collect();
    transaction.commit().await?;
    Ok(lanes
        .iter()
        .map(|lane| LaneRefill {
            lane_id: lane.lane_id,
            shard: lane.shard,
            epoch: lane.epoch,
            found: Some(found.remove(&lane.lane_id).unwrap_or_default()),
            next_due_in: next_due.remove(&lane.lane_id).unwrap_or_default(),
        })
        .collect())
}

fn failed(lanes: &[RefillRequest]) -> Vec<LaneRefill> {
    lanes
        .iter()
        .map(|lane| LaneRefill {
            lane_id: lane.lane_id,
            shard: lane.shard,
            epoch: lane.epoch,
            found: None,
            next_due_in: NextDue::default(),
        })
        .collect()
}
