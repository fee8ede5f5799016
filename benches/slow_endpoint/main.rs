//! `cargo bench --bench slow_endpoint`: what an endpoint that hangs, with a deep backlog,
//! costs the healthy ones beside it.

#[path = "../support/mod.rs"]
mod support;

use serde_json::json;

use support::data::template;
use support::figures::{Row, Target};
use support::latency::{Latency, Load};
use support::receiver::ReceiverProcess;
use support::stand::Stand;
use support::worker::Worker;
use support::{NoOptions, Size};

const HEALTHY: u32 = 50;

/// Deliveries of the endpoint that hangs, all due now; their events have been read.
const DUE: &str = "
WITH made AS (
    INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
    SELECT 'merchant-50', 'payment.approved', 'hung-' || n, 'approved', 'DATA' FROM generate_series(1, COUNT) AS n
    RETURNING id, shard, transaction_id
)
INSERT INTO posthorn.pending_deliveries (event_id, subscription_id, shard, transaction_id, state, due_at)
SELECT e.id, s.id, e.shard, e.transaction_id, 'pending', now()
  FROM made e, posthorn.subscriptions s WHERE s.merchant = 'merchant-50'";

fn main() -> anyhow::Result<()> {
    support::main("slow_endpoint", async |_: NoOptions, size: Size| {
        let due = size.of(100, 200_000, 200_000);
        // Before and after, since the machine may not be idle.
        let before = p99(size, 0).await?;
        let beside = p99(size, due).await?;
        let after = p99(size, 0).await?;
        Ok(vec![
            Row::new(
                format!("p99 of 50 healthy ones beside one that hangs, {due} due"),
                beside,
                "ms",
            )
            .beside(f64::midpoint(before, after))
            .target(Target::RatioAtMost(1.1)),
            Row::new("p99 without it, before", before, "ms"),
            Row::new("p99 without it, after", after, "ms"),
        ])
    })
}

async fn p99(size: Size, due: u32) -> anyhow::Result<f64> {
    let receiver = ReceiverProcess::start(&["--keep", "--hang", "/hung"]).await?;
    let stand = Stand::set_up(size.past()).await?;
    let healthy = json!({"url": format!("{}/hook/{{n}}", receiver.url), "max_in_flight": 50});
    stand.subscribe(0, HEALTHY, &healthy).await?;
    let hung = json!({"url": format!("{}/hung/{{n}}", receiver.url), "max_in_flight": 50});
    stand.subscribe(HEALTHY, 1, &hung).await?;
    if due > 0 {
        let rows = DUE.replace("COUNT", &due.to_string());
        stand.execute(&rows.replace("DATA", &template())).await?;
        stand.settle().await?;
    }
    let worker = Worker::start(&stand)?;
    let load = Load {
        rate: size.of(100, 1000, 1000),
        warm_up: size.of(0, 5, 5),
        seconds: size.of(1, 30, 60),
        first_merchant: 0,
        merchants: HEALTHY,
    };
    let commits = load.run(&stand, &worker, &mut 0).await?;
    // It does not end in order: requests hang, and only the deliveries that count are done.
    drop(worker);
    let arrivals = receiver.stop().await?;
    Ok(Latency::of(&commits, &arrivals)?.p99)
}
