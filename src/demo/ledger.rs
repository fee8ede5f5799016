//! What Posthorn's tables say of the deliveries, counted for people.

use std::collections::HashMap;

use uuid::Uuid;

use super::account::Row;
use crate::model::State;
use crate::store::{Pool, StoreError, demo};

/// How many deliveries of one subscription are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub delivered: usize,
    pub posting_errors: usize,
    pub waiting: usize,
}

/// The deliveries of each subscription that has any.
pub async fn count_by_subscription(pool: &Pool) -> Result<HashMap<Uuid, Counts>, StoreError> {
    let mut counts: HashMap<Uuid, Counts> = HashMap::new();
    for (subscription, state, count) in demo::count_by_state(pool).await? {
        let counts = counts.entry(subscription).or_default();
        match state {
            State::Delivered => counts.delivered += count,
            State::PostingError => counts.posting_errors += count,
            State::Pending | State::PendingRetry => counts.waiting += count,
            State::Superseded | State::Cancelled => {}
        }
    }
    Ok(counts)
}

/// Every delivery that has ended or has an open row.
pub async fn all_rows(pool: &Pool) -> Result<Vec<Row>, StoreError> {
    let rows = demo::all_rows(pool).await?.into_iter();
    Ok(rows.map(|(key, state)| Row { key, state }).collect())
}
