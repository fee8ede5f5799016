//! All SQL. Concrete functions with sentence-like names; each statement carries the
//! reason for its locks and its order.

pub mod audit;
pub mod audits;
mod by_day;
mod days;
pub mod declared;
pub mod deliveries;
pub mod demo;
pub mod driver;
mod error;
pub mod evidence;
pub mod grants;
pub mod history;
pub mod known;
pub mod ledger;
pub mod log;
pub mod looking;
pub mod merchant_feed;
pub mod owner;
pub mod partitions;
pub mod pending;
pub mod pool;
pub mod rekey;
mod remedy;
pub mod replays;
mod rows;
pub mod schema;
pub mod seals;
pub mod secrets;
pub mod security_tokens;
pub mod shards;
pub mod sources;
pub mod status;
pub mod subscriptions;
pub mod token_key;
pub mod tokens;
pub mod transactions;
pub mod turn;

pub use error::{Cause, StoreError};
pub use pool::{
    Pool, Transaction, Way, connect, connect_by, connect_to_keep, first_of as first_host_of,
};

use std::time::Duration;

/// Gives a statement a deadline: a TCP connection that hangs says nothing by itself.
pub async fn within<T>(
    deadline: Duration,
    statement: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(deadline, statement)
        .await
        .unwrap_or(Err(StoreError::Stalled(deadline)))
}
