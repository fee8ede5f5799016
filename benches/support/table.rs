//! The floor of the database: the same rows, appended in batches of the same size to equal
//! tables by a plain SQL script.

use chrono::{DateTime, Utc};

use super::stand::{Stand, Used};

/// Equal tables, but for partitions; and the rows since a moment, in the order in which they were
/// written.
const STAGE: &str = "
CREATE SCHEMA bare;
CREATE TABLE bare.deliveries (LIKE posthorn.deliveries INCLUDING ALL);
CREATE TABLE bare.attempts (LIKE posthorn.attempts INCLUDING ALL);
CREATE UNLOGGED TABLE bare.rows AS
SELECT (row_number() OVER (ORDER BY d.finished_at, d.event_id) - 1)::int AS n, d AS delivery, a AS attempt
  FROM posthorn.deliveries d JOIN posthorn.attempts a USING (event_id, subscription_id, generation)
 WHERE d.finished_at >= 'SINCE';
CREATE INDEX ON bare.rows (n);
ANALYZE bare.rows;
CREATE PROCEDURE bare.append(total int, batch int) LANGUAGE plpgsql AS $$
BEGIN
    FOR start IN 0 .. total - 1 BY batch LOOP
        INSERT INTO bare.deliveries
        SELECT (r.delivery).* FROM bare.rows r WHERE r.n >= start AND r.n < start + batch;
        INSERT INTO bare.attempts
        SELECT (r.attempt).* FROM bare.rows r WHERE r.n >= start AND r.n < start + batch;
        COMMIT;
    END LOOP;
END $$";

/// What appending the ledger's rows since a moment uses, `batch` deliveries a transaction.
pub async fn append_again(
    stand: &Stand,
    since: DateTime<Utc>,
    total: usize,
    batch: usize,
) -> anyhow::Result<Used> {
    let stage = STAGE.replace("SINCE", &since.to_rfc3339());
    stand.execute(&stage).await?;
    stand.checkpoint().await?;
    let before = stand.used().await?;
    stand
        .execute(&format!("CALL bare.append({total}, {})", batch.max(1)))
        .await?;
    let after = stand.used().await?;
    Ok(Used {
        cpu_ms: after.cpu_ms - before.cpu_ms,
        wal_bytes: after.wal_bytes - before.wal_bytes,
    })
}
