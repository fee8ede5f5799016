//! Single transactions: the endpoints that they brought, and their status before.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Pool, StoreError};
use crate::model::event::StatusesBefore;
use crate::model::{Endpoint, Event};

/// The endpoints that get these events, each with its id, by event: those that their
/// transactions brought by then and that have not ended.
///
/// OFFSET 0 keeps it a look-up for each event, however many transactions there are.
pub async fn find_endpoints(
    pool: &Pool,
    events: &[&Event],
) -> Result<HashMap<Uuid, Vec<(Uuid, Endpoint)>>, StoreError> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let merchants: Vec<&str> = events.iter().map(|event| &*event.merchant).collect();
    let transactions: Vec<&str> = events.iter().map(|event| &*event.transaction_id).collect();
    let times: Vec<DateTime<Utc>> = events.iter().map(|event| event.created_at).collect();
    let rows = sqlx::query!(
        r#"
        SELECT e.id AS "event_id!", t.id, t.template_id, t.url, t.method, t.success_body
          FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
            AS e (id, merchant, transaction_id, created_at)
         CROSS JOIN LATERAL (
            SELECT * FROM posthorn.transaction_subscriptions s
             WHERE s.merchant = e.merchant AND s.transaction_id = e.transaction_id
               AND s.created_at <= e.created_at AND s.ended_at IS NULL
            OFFSET 0) AS t
        "#,
        &ids,
        &merchants as &[&str],
        &transactions as &[&str],
        &times,
    )
    .fetch_all(pool)
    .await?;
    let mut found: HashMap<Uuid, Vec<(Uuid, Endpoint)>> = HashMap::new();
    for row in rows {
        let endpoint = Endpoint {
            template_id: row.template_id,
            url: row.url.map(Into::into),
            method: row.method.map(Into::into),
            success_body: row.success_body.map(Into::into),
        };
        found
            .entry(row.event_id)
            .or_default()
            .push((row.id, endpoint));
    }
    Ok(found)
}

/// The status of the event before each of these in its transaction. Ids are in the order
/// of insertion; of a transaction's first event, and of one whose earlier events have been
/// dropped with their day, there is nothing before.
pub async fn find_statuses_before(
    pool: &Pool,
    events: &[&Event],
) -> Result<StatusesBefore, StoreError> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let merchants: Vec<&str> = events.iter().map(|event| &*event.merchant).collect();
    let transactions: Vec<&str> = events.iter().map(|event| &*event.transaction_id).collect();
    let rows = sqlx::query!(
        r#"
        SELECT e.id AS "id!", before.status
          FROM unnest($1::uuid[], $2::text[], $3::text[])
            AS e (id, merchant, transaction_id)
         CROSS JOIN LATERAL (
            SELECT v.status FROM posthorn.events v
             WHERE v.transaction_id = e.transaction_id AND v.merchant = e.merchant
               AND v.id < e.id
             ORDER BY v.id DESC LIMIT 1) AS before
        "#,
        &ids,
        &merchants as &[&str],
        &transactions as &[&str],
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.status.into()))
        .collect())
}

/// Ends a transaction's subscription whose endpoint is gone. What else waits for it comes due,
/// to be withdrawn. False: it had ended already, or was dropped with its transaction.
pub async fn end_transaction_subscription(pool: &Pool, id: Uuid) -> Result<bool, StoreError> {
    let ended = sqlx::query_scalar!(
        r#"
        WITH ended AS (
            UPDATE posthorn.transaction_subscriptions SET ended_at = now()
             WHERE id = $1 AND ended_at IS NULL RETURNING 1
        ), due AS (
            -- However many wait.
            UPDATE posthorn.pending_deliveries p SET due_at = now()
              FROM posthorn.transaction_subscriptions t
             WHERE t.id = $1 AND p.due_at > now()
               AND p.subscription_id::text || p.transaction_id = t.id::text || t.transaction_id
        )
        SELECT count(*) AS "count!" FROM ended
        "#,
        id
    )
    .fetch_one(pool)
    .await?;
    Ok(ended > 0)
}

/// Drops those that are older than `keep_days` and of whose transaction no event is left;
/// returns how many.
pub async fn drop_transaction_subscriptions(
    pool: &Pool,
    keep_days: u16,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT posthorn.drop_transaction_subscriptions($1) AS "dropped!""#,
        i32::from(keep_days)
    )
    .fetch_one(pool)
    .await?)
}
