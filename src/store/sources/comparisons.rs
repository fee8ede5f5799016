//! The log's side of comparing a source's table, and what comes of it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::comparable::Comparable;
use super::stranger::Row;
use crate::model::Snapshot;
use crate::store::{Pool, StoreError, Transaction};

/// What the last scheduled comparison of a source came to: numbers of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Rows that were written since events are kept, and are to be told of.
    pub rows: i64,
    /// Rows without an event, perhaps older than the source or than the events that are kept.
    pub unjudged: i64,
    /// Rows whose status is one that is to be left untold.
    pub muted: i64,
    /// Rows whose status is not the one that was told last.
    pub differing: i64,
    /// Why the table could not be compared.
    pub refused: Option<String>,
}

/// A row whose status is not the one that was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose it is.
    pub merchant: String,
    /// The transaction.
    pub transaction_id: String,
    /// The kind of the event that would tell of it.
    pub kind: String,
    /// What the table has.
    pub status: String,
    /// What the last event says; none: there is none.
    pub told: Option<String>,
}

/// The last scheduled comparison of each source that had one, by the source's name.
pub async fn last_comparisons(pool: &Pool) -> Result<HashMap<String, Comparison>, StoreError> {
    let rows = sqlx::query!(
        "SELECT source, started_at, rows, unjudged, muted, differing, refused FROM posthorn.source_comparisons"
    )
    .fetch_all(pool)
    .await?;
    let comparisons = rows.into_iter().map(|row| {
        let comparison = Comparison {
            started_at: row.started_at,
            rows: row.rows,
            unjudged: row.unjudged,
            muted: row.muted,
            differing: row.differing,
            refused: row.refused,
        };
        (row.source, comparison)
    });
    Ok(comparisons.collect())
}

/// What the log has of a row's transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The status of the last event; none: there is no event.
    pub last: Option<String>,
    /// The row's status was told at some time.
    pub once: bool,
    /// The row's status is one that is to be left untold.
    pub untold: bool,
}

/// Finds for each row what had been told of its transaction when the row was read. An event
/// that somebody published counts if it has the kind.
pub async fn find_told(
    pool: &Pool,
    source: &Comparable,
    read_at: &Snapshot,
    rows: &[Row],
) -> Result<Vec<Told>, StoreError> {
    let column = |of: fn(&Row) -> &str| -> Vec<&str> { rows.iter().map(of).collect() };
    // An event of a transaction that is not there yet is of another server: a dump was restored.
    let told = sqlx::query_as!(
        Told,
        r#"
        SELECT told.last AS "last?", told.once AS "once!",
               EXISTS (SELECT FROM posthorn.source_untold u
                        WHERE u.source = $1 AND u.merchant = w.merchant AND u.transaction_id = w.id AND u.status = w.status
                          AND u.left_at > coalesce(told.at, '-infinity')) AS "untold!"
          FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS w (merchant, id, kind, status, n)
         CROSS JOIN pg_snapshot_xmax(pg_current_snapshot()) AS now (xid)
         CROSS JOIN LATERAL (
               SELECT (array_agg(e.status ORDER BY e.id DESC))[1] AS last, (array_agg(e.created_at ORDER BY e.id DESC))[1] AS at,
                      coalesce(bool_or(e.status = w.status), false) AS once
                 FROM posthorn.events e
                WHERE e.transaction_id = w.id AND e.merchant = w.merchant AND e.created_at >= $7
                  AND (e.source = $1 OR e.source IS NULL AND e.kind = w.kind)
                  AND (pg_visible_in_snapshot(e.xid, $6::text::pg_snapshot) OR e.xid >= now.xid)) AS told
         ORDER BY w.n
        "#,
        source.name,
        &column(|row| &row.merchant) as &[&str],
        &column(|row| &row.id) as &[&str],
        &column(|row| &row.kind) as &[&str],
        &column(|row| &row.status) as &[&str],
        read_at.to_string(),
        source.since,
    )
    .fetch_all(pool)
    .await?;
    Ok(told)
}

/// Writes down what a comparison came to; a difference that was known keeps the time at which it
/// was found.
pub async fn record_comparison(
    pool: &Pool,
    name: &str,
    comparison: &Comparison,
    differences: &[Difference],
) -> Result<(), StoreError> {
    let mut transaction = pool.begin().await?;
    forget_old_untold(&mut transaction, name).await?;
    write_summary(&mut transaction, name, comparison).await?;
    write_differences(&mut transaction, name, differences).await?;
    transaction.commit().await
}

/// Forgets what was left untold before the source, or before the events that are kept: what has
/// been told since then counts instead.
async fn forget_old_untold(connection: &mut Transaction, name: &str) -> Result<(), StoreError> {
    // However many there are, mostly none.
    sqlx::query!(
        "DELETE FROM posthorn.source_untold u USING posthorn.sources s
          WHERE s.name = $1 AND u.source = s.name
            AND u.left_at < greatest(s.since, (SELECT max(d.day) + 1 FROM posthorn.dropped_days d))",
        name
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_summary(
    connection: &mut Transaction,
    name: &str,
    comparison: &Comparison,
) -> Result<(), StoreError> {
    // None where the source was detached meanwhile: what was found goes with it.
    sqlx::query!(
        "INSERT INTO posthorn.source_comparisons AS c (source, started_at, rows, unjudged, muted, differing)
         SELECT s.name, $2, $3, $4, $5, $6 FROM posthorn.sources s WHERE s.name = $1
         ON CONFLICT (source) DO UPDATE
            SET started_at = excluded.started_at, finished_at = clock_timestamp(), rows = excluded.rows,
                unjudged = excluded.unjudged, muted = excluded.muted, differing = excluded.differing, refused = NULL",
        name,
        comparison.started_at,
        comparison.rows,
        comparison.unjudged,
        comparison.muted,
        comparison.differing,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the differences down. Those that were known keep their time, and those that are no more
/// go.
async fn write_differences(
    connection: &mut Transaction,
    name: &str,
    differences: &[Difference],
) -> Result<(), StoreError> {
    let column =
        |of: fn(&Difference) -> &str| -> Vec<&str> { differences.iter().map(of).collect() };
    let (merchants, ids) = (
        column(|row| &row.merchant),
        column(|row| &row.transaction_id),
    );
    let told: Vec<Option<&str>> = differences.iter().map(|row| row.told.as_deref()).collect();
    // However many there are that have been told since.
    sqlx::query!(
        "DELETE FROM posthorn.source_differences d
          WHERE d.source = $1
            AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::text[]) AS n (merchant, id)
                             WHERE n.merchant = d.merchant AND n.id = d.transaction_id)",
        name,
        &merchants as &[&str],
        &ids as &[&str],
    )
    .execute(&mut *connection)
    .await?;
    // None where the source was detached meanwhile, as above.
    sqlx::query!(
        "INSERT INTO posthorn.source_differences AS d (source, merchant, transaction_id, kind, status, told)
         SELECT c.source, n.merchant, n.id, n.kind, n.status, n.told
           FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS n (merchant, id, kind, status, told)
           JOIN posthorn.source_comparisons c ON c.source = $1
         ON CONFLICT (source, merchant, transaction_id) DO UPDATE
            SET kind = excluded.kind, status = excluded.status, told = excluded.told",
        name,
        &merchants as &[&str],
        &ids as &[&str],
        &column(|row| &row.kind) as &[&str],
        &column(|row| &row.status) as &[&str],
        &told as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down why a table cannot be compared; what was found before stays.
pub async fn record_refusal(
    pool: &Pool,
    source: &str,
    started_at: DateTime<Utc>,
    why: &str,
) -> Result<(), StoreError> {
    // None where the source was detached meanwhile: there is nothing to compare any more.
    sqlx::query!(
        "INSERT INTO posthorn.source_comparisons AS c (source, started_at, refused)
         SELECT s.name, $2, $3 FROM posthorn.sources s WHERE s.name = $1
         ON CONFLICT (source) DO UPDATE
            SET started_at = excluded.started_at, finished_at = clock_timestamp(), refused = excluded.refused",
        source,
        started_at,
        why
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// How many rows differ, over all sources, and when the source was compared that has waited
/// longest, or was attached; none: no source is to be compared.
pub async fn compared_since(pool: &Pool) -> Result<(u64, Option<DateTime<Utc>>), StoreError> {
    let row = sqlx::query!(
        r#"SELECT coalesce(sum(c.differing), 0)::bigint AS "differing!",
                  min(CASE WHEN c.refused IS NULL THEN coalesce(c.finished_at, s.attached_at) ELSE s.since END) AS since
             FROM posthorn.sources s LEFT JOIN posthorn.source_comparisons c ON c.source = s.name
            WHERE s.compare_role IS NOT NULL"#
    )
    .fetch_one(pool)
    .await?;
    Ok((u64::try_from(row.differing).unwrap_or(0), row.since))
}
