//! How people's questions are asked.

use super::{Pool, StoreError, Transaction};

/// A transaction that only reads, for one question.
///
/// - Each statement is planned for its very values: a filter that is not given drops out,
///   and what is left finds its index.
/// - Tables are read as the planner likes. The flow's settings (`store::pool`) are for
///   look-ups; counting what is open is one pass.
/// - Nobody at a terminal waits for longer than half a minute, and a report must not hold
///   an old snapshot for long.
pub async fn look(pool: &Pool) -> Result<Transaction, StoreError> {
    let mut transaction = pool.begin().await?;
    sqlx::raw_sql(
        "SET TRANSACTION READ ONLY;
         SET LOCAL plan_cache_mode = force_custom_plan;
         SET LOCAL enable_seqscan = on;
         SET LOCAL enable_hashjoin = on;
         SET LOCAL enable_mergejoin = on;
         SET LOCAL statement_timeout = '30s'",
    )
    .execute(&mut transaction)
    .await?;
    Ok(transaction)
}
