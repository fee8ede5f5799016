//! What the audit reads and repairs.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::event_of;
use super::{Pool, StoreError};
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
pub async fn reopen(pool: &Pool, missing: &[Missing]) -> Result<HashSet<DeliveryKey>, StoreError> {
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
    .fetch_all(pool)
    .await?;
    let keys = reopened.into_iter();
    Ok(keys
        .map(|row| DeliveryKey::first(row.event_id, row.subscription_id))
        .collect())
}

/// When the last scheduled audit began, and when it was through.
pub async fn last_audit(pool: &Pool) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>, StoreError> {
    let row = sqlx::query!(
        "SELECT started_at, finished_at FROM posthorn.audits ORDER BY started_at DESC LIMIT 1"
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| (row.started_at, row.finished_at)))
}

/// When the last scheduled audit was through; before the first, when the schema was made. So
/// what is old tells of audits that fail to come, also of the first.
pub async fn audited_since(pool: &Pool) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT coalesce((SELECT max(finished_at) FROM posthorn.audits),
                         (SELECT min(installed_on) FROM posthorn.migrations))",
    )
    .fetch_one(pool)
    .await?)
}

/// The database's snapshot of this moment, and the cluster in which it means something.
pub async fn snapshot_and_cluster(pool: &Pool) -> Result<(Snapshot, String), StoreError> {
    let row = sqlx::query!(
        r#"SELECT pg_current_snapshot()::text AS "snapshot!", posthorn.cluster() AS "cluster!""#
    )
    .fetch_one(pool)
    .await?;
    let snapshot = row.snapshot.parse();
    Ok((
        snapshot.map_err(|_| StoreError::Unreadable("a snapshot"))?,
        row.cluster,
    ))
}

/// From when on no scheduled audit has decided over everything: up to where workers had read
/// when the last one looked, or an earlier event that was committed since it began. After a
/// restart of the server snapshots tell nothing, and all that the last one looked at is looked
/// at again. Without an audit, the beginning. Events since `window` need no search.
pub async fn first_unaudited(
    pool: &Pool,
    window: DateTime<Utc>,
) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT coalesce(least(last.settled_to, last.started_at,
                              CASE WHEN last.cluster <> posthorn.cluster() THEN last.since END,
                              posthorn.uuid_time(late.id)), 'epoch') AS "since!"
          FROM (SELECT) AS always
          LEFT JOIN (SELECT a.* FROM posthorn.audits a ORDER BY a.started_at DESC LIMIT 1) AS last ON true
          LEFT JOIN LATERAL (
               SELECT l.id
                 FROM (SELECT e.id FROM posthorn.events e
                        WHERE e.xid >= pg_snapshot_xmin(last.snapshot)
                          AND NOT pg_visible_in_snapshot(e.xid, last.snapshot)
                          AND e.id < posthorn.uuid_floor($1)
                        ORDER BY e.xid OFFSET 0) AS l
                ORDER BY l.id LIMIT 1) AS late ON true
        "#,
        window
    )
    .fetch_one(pool)
    .await?)
}

/// What a scheduled audit came to; a row of `posthorn.audits`.
#[derive(Clone, Debug)]
pub struct AuditRow {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The moment from which on it looked at events.
    pub since: DateTime<Utc>,
    /// How many events it looked at.
    pub events: u64,
    /// How many deliveries those events want.
    pub expected: u64,
    /// How many of them had no row.
    pub missing: u64,
    /// How many of them it opened again.
    pub repaired: u64,
    /// Events before that had all been dealt with.
    pub settled_to: DateTime<Utc>,
    /// When it began, by snapshot and cluster.
    pub began: (Snapshot, String),
}

/// Writes down what a scheduled audit came to, once it is through.
pub async fn record_audit(pool: &Pool, row: &AuditRow) -> Result<(), StoreError> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query!(
        "INSERT INTO posthorn.audits (started_at, since, events, expected, missing, repaired,
                                      settled_to, snapshot, cluster)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::pg_snapshot, $9)",
        row.started_at,
        row.since,
        number(row.events),
        number(row.expected),
        number(row.missing),
        number(row.repaired),
        row.settled_to,
        row.began.0.to_string(),
        row.began.1,
    )
    .execute(pool)
    .await?;
    Ok(())
}
