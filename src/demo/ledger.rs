//! What Posthorn's tables say, read from outside as an operator would: these statements
//! are the demo's own, and the worker has no use for them.

use std::collections::HashMap;

use sqlx::PgPool;
use uuid::Uuid;

use super::account::Row;
use crate::model::{DeliveryKey, State};

/// How many deliveries of one subscription are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub delivered: usize,
    pub posting_errors: usize,
    pub waiting: usize,
}

/// The ids of the subscriptions by merchant and name.
pub async fn subscription_ids(pool: &PgPool) -> sqlx::Result<HashMap<(String, String), Uuid>> {
    let rows: Vec<(String, String, Uuid)> =
        sqlx::query_as("SELECT merchant, name, id FROM posthorn.subscriptions")
            .fetch_all(pool)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(merchant, name, id)| ((merchant, name), id))
        .collect())
}

/// How many shards have an owner, and how many there are.
pub async fn owned_shards(pool: &PgPool) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as("SELECT count(owner), count(*) FROM posthorn.shards")
        .fetch_one(pool)
        .await
}

pub async fn count_by_subscription(pool: &PgPool) -> sqlx::Result<HashMap<Uuid, Counts>> {
    let rows: Vec<(Uuid, String, i64)> = sqlx::query_as(
        "SELECT subscription_id, state::text, count(*)
           FROM (SELECT subscription_id, state FROM posthorn.deliveries
                 UNION ALL
                 SELECT subscription_id, state FROM posthorn.pending_deliveries) AS deliveries
          GROUP BY 1, 2",
    )
    .fetch_all(pool)
    .await?;
    let mut counts: HashMap<Uuid, Counts> = HashMap::new();
    for (subscription, state, count) in rows {
        let counts = counts.entry(subscription).or_default();
        let count = usize::try_from(count).unwrap_or(0);
        match state_of(&state)? {
            State::Delivered => counts.delivered += count,
            State::PostingError => counts.posting_errors += count,
            State::Pending | State::PendingRetry => counts.waiting += count,
            State::Superseded | State::Cancelled => {}
        }
    }
    Ok(counts)
}

/// Every delivery that has ended or has an open row.
pub async fn all_rows(pool: &PgPool) -> sqlx::Result<Vec<Row>> {
    let rows: Vec<(Uuid, Uuid, i32, String)> = sqlx::query_as(
        "SELECT event_id, subscription_id, generation, state::text FROM posthorn.deliveries
         UNION ALL
         SELECT event_id, subscription_id, generation, state::text FROM posthorn.pending_deliveries",
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|(event_id, subscription_id, generation, state)| {
            Ok(Row {
                key: DeliveryKey {
                    event_id,
                    subscription_id,
                    generation,
                },
                state: state_of(&state)?,
            })
        })
        .collect()
}

fn state_of(text: &str) -> sqlx::Result<State> {
    let state = State::ALL.into_iter().find(|state| state.as_str() == text);
    state.ok_or_else(|| sqlx::Error::Decode(format!("state {text:?} is not known").into()))
}
