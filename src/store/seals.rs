//! Seals of the days on which records were written.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Pool, StoreError, Transaction};
use crate::model::seal::{Digest, Mark, Records, Row, RowKey, Seal};

/// A step of the sealing of a day.
#[derive(Clone, Copy, Debug)]
pub struct SealStep {
    /// The day that is being sealed, or whose slices are of no use any more.
    pub day: NaiveDate,
    /// Whether the day is sealed now.
    pub is_sealed: bool,
}

/// Makes the next step of the sealing of the day after the last sealed one, whichever worker made
/// the one before; none while that day is not closed.
pub async fn seal_step(turn: &mut Transaction) -> Result<Option<SealStep>, StoreError> {
    let row = sqlx::query!("SELECT day, is_sealed FROM posthorn.seal_step()")
        .fetch_one(&mut *turn)
        .await?;
    let step = row.day.zip(row.is_sealed);
    Ok(step.map(|(day, is_sealed)| SealStep { day, is_sealed }))
}

/// All seals, by day.
pub async fn list_seals(pool: &Pool) -> Result<Vec<Seal>, StoreError> {
    let rows = sqlx::query!(
        "SELECT day, deliveries, deliveries_digest, attempts, attempts_digest, previous, seal,
                sealed_at
           FROM posthorn.seals ORDER BY day"
    )
    .fetch_all(pool)
    .await?;
    let seals = rows.into_iter().map(|row| Seal {
        day: row.day,
        deliveries: row.deliveries,
        deliveries_digest: Digest::of(&row.deliveries_digest),
        attempts: row.attempts,
        attempts_digest: Digest::of(&row.attempts_digest),
        previous: Digest::of(&row.previous),
        seal: Digest::of(&row.seal),
        sealed_at: row.sealed_at,
    });
    Ok(seals.collect())
}

/// The days of events whose partitions retention has dropped.
pub async fn find_dropped_days(pool: &Pool) -> Result<HashSet<NaiveDate>, StoreError> {
    let days = sqlx::query_scalar!("SELECT day FROM posthorn.dropped_days")
        .fetch_all(pool)
        .await?;
    Ok(days.into_iter().collect())
}

/// The digest over a day's stored slices; none where there are none.
pub async fn slices_digest(
    pool: &Pool,
    day: NaiveDate,
    records: Records,
) -> Result<Option<Digest>, StoreError> {
    let digest = sqlx::query_scalar!(
        r#"SELECT posthorn.slices_digest($1, $2) AS "digest!"
            WHERE EXISTS (SELECT FROM posthorn.seal_slices WHERE day = $1 AND records = $2)"#,
        day,
        records.as_str()
    )
    .fetch_optional(pool)
    .await?;
    Ok(digest.map(|digest| Digest::of(&digest)))
}

/// How many rows of a sealed day there were in each minute that had any, in the order of time.
pub async fn count_sealed(
    pool: &Pool,
    day: NaiveDate,
    records: Records,
) -> Result<Vec<(DateTime<Utc>, i64)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT minute, sum(row_count) AS "count!" FROM posthorn.seal_slices
            WHERE day = $1 AND records = $2 GROUP BY minute ORDER BY minute"#,
        day,
        records.as_str()
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.minute, row.count))
        .collect())
}

/// The rows of one minute and one partition, which are not as they were sealed.
#[derive(Clone, Debug)]
pub struct ChangedSlice {
    /// The day of the rows' events, which says in which partition they are.
    pub event_day: NaiveDate,
    /// The minute in which the rows were written.
    pub minute: DateTime<Utc>,
    /// How many rows there were when it was sealed.
    pub sealed: i32,
    /// How many rows there are.
    pub found: i32,
    /// The marks of the rows that there were.
    pub marks: Vec<Mark>,
}

/// The changed slices of a stretch of whole minutes of a sealed day; what retention has dropped
/// is left out.
pub async fn find_changed_slices(
    pool: &Pool,
    day: NaiveDate,
    records: Records,
    low: DateTime<Utc>,
    high: DateTime<Utc>,
) -> Result<Vec<ChangedSlice>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT event_day AS "event_day!", minute AS "minute!", coalesce(s.row_count, 0) AS "sealed!",
               coalesce(n.row_count, 0) AS "found!", coalesce(s.marks, '') AS "marks!"
          FROM (SELECT event_day, minute, row_count, digest, marks FROM posthorn.seal_slices
                 WHERE day = $1 AND records = $2 AND minute >= $3 AND minute < $4) AS s
          FULL JOIN posthorn.slices($2, $2, $3, $4) AS n USING (event_day, minute)
         WHERE s.digest IS DISTINCT FROM n.digest
           AND NOT (n.digest IS NULL AND event_day IN (SELECT d.day FROM posthorn.dropped_days d))
         ORDER BY 2, 1
        "#,
        day,
        records.as_str(),
        low,
        high
    )
    .fetch_all(pool)
    .await?;
    let slices = rows.into_iter().map(|row| ChangedSlice {
        event_day: row.event_day,
        minute: row.minute,
        sealed: row.sealed,
        found: row.found,
        marks: row.marks.as_chunks().0.to_vec(),
    });
    Ok(slices.collect())
}

/// The rows of a slice as they are now, in the order of their key.
pub async fn read_rows(
    pool: &Pool,
    records: Records,
    event_day: NaiveDate,
    minute: DateTime<Utc>,
) -> Result<Vec<Row>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT event_id AS "event_id!", subscription_id AS "subscription_id!",
               generation AS "generation!", number AS "number!", substr(digest, 1, 4) AS "mark!"
          FROM posthorn.digested_rows($1, $1, $2, $3)
         WHERE posthorn.event_day(event_id) = $4
         ORDER BY event_id, subscription_id, generation, number
        "#,
        records.as_str(),
        minute,
        minute + TimeDelta::minutes(1),
        event_day
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let key = RowKey {
                event_id: row.event_id,
                subscription_id: row.subscription_id,
                generation: row.generation,
                number: (records == Records::Attempts).then_some(row.number),
            };
            let mark = Mark::try_from(row.mark);
            Ok(Row {
                key,
                mark: mark.map_err(|_| StoreError::Unreadable("a row's mark"))?,
            })
        })
        .collect()
}

/// The events of the first rows that say they were written before a day.
pub async fn find_rows_before(
    pool: &Pool,
    records: Records,
    day: NaiveDate,
) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT event_id AS "event_id!" FROM posthorn.digested_rows($1, $1, '-infinity', $2) LIMIT 20"#,
        records.as_str(),
        day.and_time(NaiveTime::MIN).and_utc()
    )
    .fetch_all(pool)
    .await?)
}
