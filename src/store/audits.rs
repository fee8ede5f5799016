//! Scheduled audits: what the last one came to, and how far the one is that workers are at.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Pool, StoreError, Transaction};
use crate::model::Snapshot;

/// When the last scheduled audit that is through began.
pub async fn last_audit(
    transaction: &mut Transaction,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(
        sqlx::query_scalar!("SELECT max(started_at) FROM posthorn.audits")
            .fetch_one(&mut *transaction)
            .await?,
    )
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
pub async fn snapshot_and_cluster(
    transaction: &mut Transaction,
) -> Result<(Snapshot, String), StoreError> {
    let row = sqlx::query!(
        r#"SELECT pg_current_snapshot()::text AS "snapshot!", posthorn.cluster() AS "cluster!""#
    )
    .fetch_one(&mut *transaction)
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
    transaction: &mut Transaction,
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
    .fetch_one(&mut *transaction)
    .await?)
}

/// How far a scheduled audit is; the row of `posthorn.auditing`.
#[derive(Clone, Debug)]
pub struct Audit {
    /// When it began; events up to then are looked at.
    pub started_at: DateTime<Utc>,
    /// The moment from which on it looks at events.
    pub since: DateTime<Utc>,
    /// The last event that was looked at, or the id before the first.
    pub reached: Uuid,
    /// How many events it has looked at so far.
    pub events: u64,
    /// How many deliveries those events want.
    pub expected: u64,
    /// How many of them had no row.
    pub missing: u64,
    /// How many of them it opened again.
    pub repaired: u64,
    /// Events before that had all been dealt with; none while all had.
    pub settled_to: Option<DateTime<Utc>>,
    /// When it began, by snapshot and cluster.
    pub began: (Snapshot, String),
}

/// Finds the audit that workers are at; none when the last one is through.
pub async fn find_audit(transaction: &mut Transaction) -> Result<Option<Audit>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT started_at, since, reached, events, expected, missing, repaired, settled_to,
                  snapshot::text AS "snapshot!", cluster
             FROM posthorn.auditing"#
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let snapshot = row.snapshot.parse();
    Ok(Some(Audit {
        started_at: row.started_at,
        since: row.since,
        reached: row.reached,
        events: count(row.events),
        expected: count(row.expected),
        missing: count(row.missing),
        repaired: count(row.repaired),
        settled_to: row.settled_to,
        began: (
            snapshot.map_err(|_| StoreError::Unreadable("a snapshot"))?,
            row.cluster,
        ),
    }))
}

/// Writes down how far an audit is, for whoever makes its next step.
pub async fn save_audit(transaction: &mut Transaction, audit: &Audit) -> Result<(), StoreError> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query!(
        "INSERT INTO posthorn.auditing (started_at, since, reached, events, expected, missing,
                                        repaired, settled_to, snapshot, cluster)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::pg_snapshot, $10)
         ON CONFLICT (only_row) DO UPDATE
            SET reached = excluded.reached, events = excluded.events,
                expected = excluded.expected, missing = excluded.missing,
                repaired = excluded.repaired, settled_to = excluded.settled_to",
        audit.started_at,
        audit.since,
        audit.reached,
        number(audit.events),
        number(audit.expected),
        number(audit.missing),
        number(audit.repaired),
        audit.settled_to,
        audit.began.0.to_string(),
        audit.began.1,
    )
    .execute(&mut *transaction)
    .await?;
    Ok(())
}

/// Makes the audit that workers are at the last one that is through.
pub async fn finish_audit(transaction: &mut Transaction) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO posthorn.audits (started_at, since, events, expected, missing, repaired,
                                      settled_to, snapshot, cluster)
         SELECT started_at, since, events, expected, missing, repaired,
                coalesce(settled_to, started_at), snapshot, cluster
           FROM posthorn.auditing"
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!("DELETE FROM posthorn.auditing")
        .execute(&mut *transaction)
        .await?;
    Ok(())
}
