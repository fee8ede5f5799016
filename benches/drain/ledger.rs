//! What a delivery costs beside a ledger that is full already, and beside a new one.

use serde_json::json;

use super::drained::{Drained, drain};
use crate::support::figures::{Row, Target};
use crate::support::receiver::ReceiverProcess;
use crate::support::stand::Stand;
use crate::support::{Size, committed};

const SUBSCRIPTIONS: u32 = 20;

/// Deliveries of the last hours with their attempts, in the partition that the next ones
/// take. Their events are left out: nothing on a delivery's way looks for them.
const FILL: &str = "
INSERT INTO posthorn.deliveries (event_id, subscription_id, finished_at, attempts, state)
SELECT e.id, s.id, now() - interval '1 hour', 1, 'delivered'
  FROM (SELECT posthorn.uuid_v7() AS id FROM generate_series(1, ROWS)) AS e,
       (SELECT id FROM posthorn.subscriptions LIMIT 1) AS s;
INSERT INTO posthorn.attempts (event_id, subscription_id, started_at, number, duration_us, outcome, http_status,
                               reason, revision, peer, head_digest, payload_digest)
SELECT d.event_id, d.subscription_id, now() - interval '1 hour', 1, 1000, 'ok', 200, 'OK', 1, '127.0.0.1',
       sha256(d.event_id::text::bytea), sha256(d.event_id::text::bytea)
  FROM posthorn.deliveries d WHERE d.finished_at = now() - interval '1 hour'";

pub async fn measure(events: usize, size: Size) -> anyhow::Result<Vec<Row>> {
    let rows = size.of(1000, 2_000_000, 10_000_000);
    let new = with_ledger_of(0, events, size).await?;
    let full = with_ledger_of(rows, events, size).await?;
    let name = |what: &str| format!("ledger of {} M rows: {what}", f64::from(rows) / 1e6);
    Ok(vec![
        Row::new(
            name("CPU of PostgreSQL"),
            full.postgres_cpu_ms,
            "ms per 1,000",
        )
        .beside(new.postgres_cpu_ms)
        .target(Target::RatioAtMost(1.1)),
        Row::new(
            name("CPU of the worker"),
            full.worker_cpu_ms,
            "ms per 1,000",
        )
        .beside(new.worker_cpu_ms)
        .target(Target::RatioAtMost(1.1)),
        Row::new(name("WAL"), full.wal_bytes, "bytes each")
            .beside(new.wal_bytes)
            .target(Target::RatioAtMost(1.1)),
    ])
}

async fn with_ledger_of(rows: u32, events: usize, size: Size) -> anyhow::Result<Drained> {
    let receiver = ReceiverProcess::start(&[]).await?;
    let stand = Stand::set_up(size.past()).await?;
    let settings = json!({"url": format!("{}/hook/{{n}}", receiver.url), "max_in_flight": 50});
    stand.subscribe(0, SUBSCRIPTIONS, &settings).await?;
    if rows > 0 {
        stand
            .execute(&FILL.replace("ROWS", &rows.to_string()))
            .await?;
        stand.checkpoint().await?;
    }
    committed::one_by_one(&stand, events, SUBSCRIPTIONS).await?;
    let drained = drain(&stand, receiver.process.pid()?, events, 0.0).await?;
    receiver.stop().await?;
    Ok(drained)
}
