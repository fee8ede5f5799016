//! What one worker of the fleet does at a time.

use super::{Pool, StoreError, Transaction};

/// Takes the turn at what has this name; it ends with the transaction, which holds no snapshot
/// meanwhile. None: another worker is at it.
pub async fn take_turn(pool: &Pool, name: &str) -> Result<Option<Transaction>, StoreError> {
    let mut transaction = pool.begin().await?;
    let is_ours = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtext($1)) AS "locked!""#,
        name
    )
    .fetch_one(&mut transaction)
    .await?;
    Ok(is_ours.then_some(transaction))
}
