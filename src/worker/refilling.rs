//! Brings due deliveries back from the database, for many lanes in one query.

use std::collections::HashMap;

use tokio::sync::mpsc::UnboundedSender;
use tracing::debug;
use uuid::Uuid;

use crate::crash::Point;
use crate::flow::STATEMENT;
use crate::flow::input::Input;
use crate::flow::refill::{LaneRefill, NextDue, RefillOrder, RefillRequest, Refilled};
use crate::http::metrics::Metrics;
use crate::model::{DeliveryKey, Shard};
use crate::store::pending::{find_next_due, refill_lanes};
use crate::store::{Pool, StoreError, within};

/// Answers every lane of the order, whatever the database does.
pub(super) async fn refill(
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
    for row in refill_lanes(pool, &mut transaction, lanes, held).await? {
        found.entry(row.lane_id).or_default().push(row);
    }
    let asked: Vec<(Shard, Uuid)> = lanes.iter().map(|it| (it.shard, it.lane_id)).collect();
    let mut next_due: HashMap<Uuid, NextDue> = find_next_due(&mut transaction, &asked)
        .await?
        .into_iter()
        .collect();
    transaction.commit().await?;
    let answer = |lane: &RefillRequest| {
        let found = found.remove(&lane.lane_id).unwrap_or_default();
        let next_due = next_due.remove(&lane.lane_id).unwrap_or_default();
        lane.answer(Some(found), next_due)
    };
    Ok(lanes.iter().map(answer).collect())
}

fn failed(lanes: &[RefillRequest]) -> Vec<LaneRefill> {
    let nothing = |lane: &RefillRequest| lane.answer(None, NextDue::default());
    lanes.iter().map(nothing).collect()
}
