//! What a security token may stand for.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Pool, StoreError};

/// An event of the transaction, and one endpoint that may have been told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The event.
    pub event_id: Uuid,
    /// The subscription that may have been told.
    pub subscription_id: Uuid,
    /// Whose they are.
    pub merchant: Box<str>,
    /// The last moment in which it may have been told: the newest of the event's insertion,
    /// the end of its last attempt and the start of one that is under way.
    pub last_at: DateTime<Utc>,
}

/// Everything that may have been told of a transaction's newest `limit` events.
///
/// A notification can be asked about while it is still in the air, and then no row tells of
/// it: that is why all the merchant's subscriptions are candidates, and why the due time of a
/// retry counts.
pub async fn find_told(
    pool: &Pool,
    transaction_id: &str,
    limit: i64,
) -> Result<Vec<Told>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT e.id AS "event_id!", s.id AS "subscription_id!", e.merchant AS "merchant!",
               greatest(e.created_at, a.ended_at, p.due_at) AS "last_at!: DateTime<Utc>"
          -- OFFSET 0: with the LIMIT in sight the primary key would look tempting.
          FROM (SELECT v.* FROM (
                       SELECT o.id, o.merchant, o.created_at FROM posthorn.events o
                        WHERE o.transaction_id = $1 OFFSET 0) AS v
                 ORDER BY v.id DESC LIMIT $2) AS e
         CROSS JOIN LATERAL (
               SELECT o.id FROM posthorn.subscriptions o WHERE o.merchant = e.merchant
               UNION ALL
               SELECT t.id FROM posthorn.transaction_subscriptions t
                WHERE t.merchant = e.merchant AND t.transaction_id = $1
               OFFSET 0) AS s
          LEFT JOIN LATERAL (
               SELECT max(t.started_at + t.duration_us * interval '1 microsecond') AS ended_at
                 FROM posthorn.attempts t
                WHERE t.event_id = e.id AND t.subscription_id = s.id) AS a ON true
          LEFT JOIN LATERAL (
               SELECT max(d.due_at) AS due_at FROM posthorn.pending_deliveries d
                WHERE d.event_id = e.id AND d.subscription_id = s.id
                  AND d.due_at <= clock_timestamp()) AS p ON true
        "#,
        transaction_id,
        limit,
    )
    .fetch_all(pool)
    .await?;
    let told = rows.into_iter().map(|row| Told {
        event_id: row.event_id,
        subscription_id: row.subscription_id,
        merchant: row.merchant.into(),
        last_at: row.last_at,
    });
    Ok(told.collect())
}
