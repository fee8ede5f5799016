//! Daily partitions: made ahead of time, emptied of their payloads, and dropped whole.

use chrono::{DateTime, NaiveDate, Utc};

use super::{Pool, StoreError, Transaction};

/// Makes a missing partition of the days from today to so many ahead, or of an earlier one
/// that has rows, and returns its name; none when no day is missing. One in a transaction: for
/// a moment it keeps everybody out of the table.
pub async fn make_next_partition(
    pool: &Pool,
    days_ahead: u16,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT posthorn.make_next_partition($1)",
        i32::from(days_ahead)
    )
    .fetch_one(pool)
    .await?)
}

/// Drops the days that are older than `keep_days` and hold neither an open delivery nor
/// an event that no worker has read; returns their names.
pub async fn drop_partitions(pool: &Pool, keep_days: u16) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT posthorn.drop_partitions($1) AS "name!""#,
        i32::from(keep_days)
    )
    .fetch_all(pool)
    .await?)
}

/// A step of the purge of a day.
#[derive(Clone, Copy, Debug)]
pub struct PurgeStep {
    /// The day that is being purged.
    pub day: NaiveDate,
    /// How many of its events were purged, in this step and those before.
    pub purged: i64,
    /// Whether the day is done now.
    pub is_done: bool,
}

/// Makes the next step of the purge of a day that is older than `keep_days`, whichever worker made
/// the one before. Events with an open delivery keep their payload, and their day is gone through
/// again, but not if that was done `since`. None when nothing is left to do.
pub async fn purge_step(
    turn: &mut Transaction,
    keep_days: u16,
    since: DateTime<Utc>,
) -> Result<Option<PurgeStep>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT day, purged AS "purged?", is_done AS "is_done?" FROM posthorn.purge_step($1, $2)"#,
        i32::from(keep_days),
        since
    )
    .fetch_one(&mut *turn)
    .await?;
    Ok(row.day.map(|day| PurgeStep {
        day,
        purged: row.purged.unwrap_or(0),
        is_done: row.is_done.unwrap_or(false),
    }))
}
