//! Deliveries of the past: events whose ledger rows are there, and which workers have read.

use super::stand::Stand;

/// So many in a transaction.
const BATCH: u32 = 250_000;

const DELIVERED: &str = "
WITH made AS (
    INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
    SELECT 'merchant-' || n % MERCHANTS, 'payment.approved', 'history-' || n, 'approved', 'DATA'
      FROM generate_series(FIRST, LAST) AS n
    RETURNING id, merchant
)
INSERT INTO posthorn.deliveries (event_id, subscription_id, attempts, state)
SELECT e.id, s.id, 1, 'delivered' FROM made e JOIN posthorn.subscriptions s USING (merchant)";

/// Of the merchants 0, 1, …, which have a subscription each; `data` is JSON.
pub async fn deliver(stand: &Stand, events: u32, merchants: u32, data: &str) -> anyhow::Result<()> {
    for first in (0..events).step_by(BATCH as usize) {
        let last = events.min(first + BATCH) - 1;
        let rows = DELIVERED
            .replace("MERCHANTS", &merchants.to_string())
            .replace("FIRST", &first.to_string())
            .replace("LAST", &last.to_string())
            .replace("DATA", data);
        stand.execute(&rows).await?;
    }
    stand.settle().await
}
