//! Which deliveries of a stretch of events have a row already, and in which state.

use std::collections::HashMap;

use uuid::Uuid;

use super::days::{Names, Table};
use super::{Pool, StoreError};
use crate::model::{DeliveryKey, State};

/// Deliveries that already have a row, among them every first-generation one of these
/// events: a shard that changed hands is read again from its checkpoint, and these are left
/// out.
///
/// The events of a page lie close together, so their rows are one stretch of an index, and
/// of a backlog nothing is there at all. Where the stretch holds many others' rows, each
/// event is looked up by itself.
///
/// The generation is looked at after the look-up: with it, the index of what is due would do as
/// well, and while the table is empty the planner cannot tell which is better.
pub async fn find_known_deliveries(
    pool: &Pool,
    events: &[Uuid],
) -> Result<HashMap<DeliveryKey, State>, StoreError> {
    let ids = events.iter().copied();
    pool.in_days_of(&[Table::Deliveries], ids, |days| {
        find_known(pool, days, events)
    })
    .await
}

async fn find_known(
    pool: &Pool,
    days: Names,
    events: &[Uuid],
) -> Result<HashMap<DeliveryKey, State>, StoreError> {
    let (Some(first), Some(last)) = (events.iter().min(), events.iter().max()) else {
        return Ok(HashMap::new());
    };
    let most = events.len() * 4;
    let known = find_known_between(pool, &days, *first, *last, most + 1).await?;
    // Rows, not deliveries: one that has two must not hide that there are more.
    if known.len() <= most {
        return Ok(known.into_iter().collect());
    }
    find_known_one_by_one(pool, &days, events).await
}

async fn find_known_between(
    pool: &Pool,
    days: &Names,
    first: Uuid,
    last: Uuid,
    limit: usize,
) -> Result<Vec<(DeliveryKey, State)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        (SELECT d.event_id AS "event_id!", d.subscription_id AS "subscription_id!",
                d.state::text AS "state!"
           FROM posthorn.deliveries /* by day */ d
          WHERE d.event_id BETWEEN $1 AND $2 AND d.generation = 0)
        UNION ALL
        (SELECT p.event_id, p.subscription_id, p.state::text
           FROM (SELECT v.* FROM posthorn.pending_deliveries v
                  WHERE v.event_id BETWEEN $1 AND $2 OFFSET 0) AS p
          WHERE p.generation = 0)
        LIMIT $3
        "#,
        first,
        last,
        i64::try_from(limit).unwrap_or(i64::MAX)
    )
    .fetch_all(days.by(pool))
    .await?;
    let known = rows
        .into_iter()
        .map(|row| known(row.event_id, row.subscription_id, &row.state));
    known.collect()
}

/// OFFSET 0 keeps the sub-query as it is: each event looks its rows up. As a join, the plan
/// that suits tables that were empty once reads the whole ledger for each page.
async fn find_known_one_by_one(
    pool: &Pool,
    days: &Names,
    events: &[Uuid],
) -> Result<HashMap<DeliveryKey, State>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT e.id AS "event_id!", known.subscription_id AS "subscription_id!",
               known.state AS "state!"
          FROM unnest($1::uuid[]) AS e (id)
         CROSS JOIN LATERAL (
            (SELECT d.subscription_id, d.state::text FROM posthorn.deliveries /* by day */ d
              WHERE d.event_id = e.id AND d.generation = 0)
            UNION ALL
            (SELECT p.subscription_id, p.state::text
               FROM (SELECT v.* FROM posthorn.pending_deliveries v
                      WHERE v.event_id = e.id OFFSET 0) AS p
              WHERE p.generation = 0)
            OFFSET 0) AS known
        "#,
        events
    )
    .fetch_all(days.by(pool))
    .await?;
    let known = rows
        .into_iter()
        .map(|row| known(row.event_id, row.subscription_id, &row.state));
    known.collect()
}

fn known(event: Uuid, subscription: Uuid, state: &str) -> Result<(DeliveryKey, State), StoreError> {
    let state = state
        .parse()
        .map_err(|_| StoreError::Unreadable("a delivery's state"))?;
    Ok((DeliveryKey::first(event, subscription), state))
}
