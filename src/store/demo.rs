//! What the demo asks of Posthorn's tables from outside, as an operator would, and what its
//! provider's application does: the worker has no use for these statements.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Pool, StoreError, Transaction};
use crate::model::{DeliveryKey, State};

/// The ids of the subscriptions by merchant and name.
pub async fn subscription_ids(pool: &Pool) -> Result<HashMap<(String, String), Uuid>, StoreError> {
    let rows: Vec<(String, String, Uuid)> =
        sqlx::query_as("SELECT merchant, name, id FROM posthorn.subscriptions")
            .fetch_all(pool)
            .await?;
    let ids = rows
        .into_iter()
        .map(|(merchant, name, id)| ((merchant, name), id));
    Ok(ids.collect())
}

/// How many shards have an owner, and how many there are.
pub async fn owned_shards(pool: &Pool) -> Result<(i64, i64), StoreError> {
    Ok(
        sqlx::query_as("SELECT count(owner), count(*) FROM posthorn.shards")
            .fetch_one(pool)
            .await?,
    )
}

/// How many deliveries of each subscription are in each state.
pub async fn count_by_state(pool: &Pool) -> Result<Vec<(Uuid, State, usize)>, StoreError> {
    let rows: Vec<(Uuid, String, i64)> = sqlx::query_as(
        "SELECT subscription_id, state::text, count(*)
           FROM (SELECT subscription_id, state FROM posthorn.deliveries
                 UNION ALL
                 SELECT subscription_id, state FROM posthorn.pending_deliveries) AS deliveries
          GROUP BY 1, 2",
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|(subscription, state, count)| {
            let count = usize::try_from(count).unwrap_or(0);
            Ok((subscription, state_of(&state)?, count))
        })
        .collect()
}

/// Every delivery that has ended or has an open row, a row each.
pub async fn all_rows(pool: &Pool) -> Result<Vec<(DeliveryKey, State)>, StoreError> {
    let rows: Vec<(Uuid, Uuid, i32, String)> = sqlx::query_as(
        "SELECT event_id, subscription_id, generation, state::text FROM posthorn.deliveries
         UNION ALL
         SELECT event_id, subscription_id, generation, state::text FROM posthorn.pending_deliveries",
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|(event_id, subscription_id, generation, state)| {
            let key = DeliveryKey {
                event_id,
                subscription_id,
                generation,
            };
            Ok((key, state_of(&state)?))
        })
        .collect()
}

/// A change of status that the provider's application publishes.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Whose transaction it is.
    pub merchant: &'a str,
    /// The kind of the event.
    pub kind: &'a str,
    /// The transaction whose status changes.
    pub transaction_id: &'a str,
    /// What it changes to.
    pub status: &'a str,
}

/// Publishes a change with its data, a JSON object, in the transaction that makes it; returns
/// the event's id.
pub async fn publish(
    transaction: &mut Transaction,
    change: Change<'_>,
    data: &str,
) -> Result<Uuid, StoreError> {
    let id = sqlx::query_scalar("SELECT posthorn.publish($1, $2, $3, $4, $5::text::json)")
        .bind(change.merchant)
        .bind(change.kind)
        .bind(change.transaction_id)
        .bind(change.status)
        .bind(data)
        .fetch_one(transaction);
    Ok(id.await?)
}

fn state_of(text: &str) -> Result<State, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Unreadable("a delivery's state"))
}
