//! Daily partitions: made ahead of time, emptied of their payloads, and dropped whole.

use chrono::NaiveDate;

use super::{Pool, StoreError};

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

/// Purges the payloads of the first day behind `after` that is older than `keep_days` and
/// not done yet, but for events with an open delivery. Returns the day and how many events
/// it were; none when no day is left.
pub async fn purge_payloads(
    pool: &Pool,
    keep_days: u16,
    after: NaiveDate,
) -> Result<Option<(NaiveDate, i64)>, StoreError> {
    let row = sqlx::query!(
        "SELECT day, purged FROM posthorn.purge_payloads($1, $2)",
        i32::from(keep_days),
        after
    )
    .fetch_one(pool)
    .await?;
    Ok(row.day.zip(row.purged))
}
