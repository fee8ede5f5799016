//! What an audit reads and repairs.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::rows::event_of;
use super::{Pool, StoreError, Transaction};
use crate::model::{DeliveryKey, Event, Shard, Snapshot};

/// The next events by id, with the transaction that wrote each; without their data, which
/// routing does not look at. `until` is the first id that is left out.
pub async fn read_stretch(
    pool: &Pool,
    after: Uuid,
    until: Uuid,
    limit: i64,
) -> Result<Vec<(u64, Event)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT v.xid::text AS "xid!", v.id, v.shard AS "shard!", v.merchant, v.kind,
               v.transaction_id, v.status, v.created_at
          FROM posthorn.events v
         WHERE v.id > $1 AND v.id < $2
         ORDER BY v.id LIMIT $3
        "#,
        after,
        until,
        limit
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let event = event_of!(row, row.id, "");
            let xid = row.xid.parse();
            Ok((
                xid.map_err(|_| StoreError::Unreadable("a transaction id"))?,
                event,
            ))
        })
        .collect()
}

/// Up to where each shard's events are dealt with. A checkpoint of another cluster says
/// nothing of this one's transactions, and is left out.
pub async fn read_checkpoints(pool: &Pool) -> Result<HashMap<Shard, Snapshot>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT shard, checkpoint::text AS "checkpoint!" FROM posthorn.shards
            WHERE cluster = posthorn.cluster()"#
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let checkpoint = row.checkpoint.parse();
            Ok((
                Shard(row.shard),
                checkpoint.map_err(|_| StoreError::Unreadable("a checkpoint"))?,
            ))
        })
        .collect()
}

/// How many successes beyond the first were recorded for the deliveries of each event of a
/// stretch, replays each by itself.
pub async fn find_repeated(
    pool: &Pool,
    first: Uuid,
    last: Uuid,
) -> Result<Vec<(Uuid, u64)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT a.event_id, count(*) - 1 AS "repeats!"
          FROM posthorn.attempts a
         WHERE a.event_id BETWEEN $1 AND $2 AND a.outcome = 'ok'
         GROUP BY a.event_id, a.subscription_id, a.generation
        HAVING count(*) > 1
        "#,
        first,
        last
    )
    .fetch_all(pool)
    .await?;
    let repeated = rows.into_iter();
    Ok(repeated
        .map(|row| (row.event_id, u64::try_from(row.repeats).unwrap_or(0)))
        .collect())
}

/// A delivery without a row.
#[derive(Clone, Copy, Debug)]
pub struct Missing {
    /// Which delivery it is.
    pub key: DeliveryKey,
    /// The template, where it is a transaction's own subscription that wants it.
    pub template_id: Option<Uuid>,
}

/// Opens what is missing as pending, due now; returns what it opened. The statement
/// looks again by itself at whether a worker may still be about to write the row, and
/// whether there is one by now: it can be run twice and beside workers.
pub async fn reopen(
    transaction: &mut Transaction,
    missing: &[Missing],
) -> Result<HashSet<DeliveryKey>, StoreError> {
    if missing.is_empty() {
        return Ok(HashSet::new());
    }
    let events: Vec<Uuid> = missing.iter().map(|one| one.key.event_id).collect();
    let subscriptions: Vec<Uuid> = missing.iter().map(|one| one.key.subscription_id).collect();
    let templates: Vec<Option<Uuid>> = missing.iter().map(|one| one.template_id).collect();
    let reopened = sqlx::query!(
        r#"
        INSERT INTO posthorn.pending_deliveries
               (event_id, subscription_id, template_id, shard, transaction_id, state, due_at)
        SELECT e.id, m.subscription_id, m.template_id, e.shard, e.transaction_id, 'pending', now()
          FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS m (event_id, subscription_id, template_id)
         CROSS JOIN LATERAL (
               SELECT v.id, v.xid, v.shard, v.transaction_id FROM posthorn.events v
                WHERE v.id = m.event_id OFFSET 0) AS e
          JOIN posthorn.shards s ON s.shard = e.shard
         WHERE s.cluster = posthorn.cluster() AND pg_visible_in_snapshot(e.xid, s.checkpoint)
           AND NOT EXISTS (
               SELECT FROM posthorn.deliveries d
                WHERE d.event_id = m.event_id AND d.subscription_id = m.subscription_id
                  AND d.generation = 0 OFFSET 0)
        ON CONFLICT DO NOTHING
        RETURNING event_id, subscription_id
        "#,
        &events,
        &subscriptions,
        &templates as &[Option<Uuid>],
    )
    .fetch_all(&mut *transaction)
    .await?;
    let keys = reopened.into_iter();
    Ok(keys
        .map(|row| DeliveryKey::first(row.event_id, row.subscription_id))
        .collect())
}
