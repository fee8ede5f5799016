//! `cargo bench --bench backlog`: what a million open retries and 100,000 subscriptions
//! change for the events of the moment, and for a worker that starts.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]

#[path = "../support/mod.rs"]
mod support;

use anyhow::Context;
use serde_json::json;

use support::data::template;
use support::figures::{Row, Target};
use support::receiver::ReceiverProcess;
use support::stand::Stand;
use support::usage::peak_rss_mb;
use support::worker::Worker;
use support::{NoOptions, Size, clock, committed};

/// Of those, the ones that fresh events are for.
const BUSY: u32 = 20;

/// Events that a worker has read, whose first attempt failed, and which are due in hours.
const OPEN: &str = "
WITH made AS (
    INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
    SELECT 'merchant-' || n % SUBSCRIPTIONS, 'payment.approved', 'open-' || n, 'approved', 'DATA'
      FROM generate_series(1, RETRIES) AS n
    RETURNING id, merchant, shard, transaction_id
)
INSERT INTO posthorn.pending_deliveries
       (event_id, subscription_id, shard, transaction_id, state, attempts, due_at, reason)
SELECT e.id, s.id, e.shard, e.transaction_id, 'pending_retry', 1,
       now() + interval '2 hours' + random() * interval '1 day', '503 Service Unavailable'
  FROM made e JOIN posthorn.subscriptions s USING (merchant)";

struct Measured {
    fresh_per_s: f64,
    peak_rss_mb: f64,
    start_s: f64,
}

fn main() -> anyhow::Result<()> {
    support::main("backlog", async |_: NoOptions, size: Size| {
        let (retries, subscriptions) =
            size.of((1000, 100), (200_000, 20_000), (1_000_000, 100_000));
        let fresh = size.of(200, 50_000, 100_000);
        let empty = measure(size, 0, BUSY, fresh).await?;
        let full = measure(size, retries, subscriptions, fresh).await?;
        let name = |what: &str| format!("{retries} retries, {subscriptions} subscriptions: {what}");
        Ok(vec![
            Row::new(name("fresh"), full.fresh_per_s, "/s")
                .beside(empty.fresh_per_s)
                .target(Target::RatioAtLeast(0.9)),
            Row::new(name("worker's memory, peak"), full.peak_rss_mb, "MB")
                .beside(empty.peak_rss_mb)
                .target(Target::AtMost(300.0)),
            Row::new(name("start to first delivery"), full.start_s, "s")
                .beside(empty.start_s)
                .target(Target::AtMost(5.0)),
        ])
    })
}

async fn measure(
    size: Size,
    retries: u32,
    subscriptions: u32,
    fresh: usize,
) -> anyhow::Result<Measured> {
    let receiver = ReceiverProcess::start(&["--keep"]).await?;
    let stand = Stand::set_up(size.past()).await?;
    let settings = json!({"url": format!("{}/hook/{{n}}", receiver.url), "max_in_flight": 50});
    stand.subscribe(0, subscriptions, &settings).await?;
    if retries > 0 {
        let open = OPEN
            .replace("SUBSCRIPTIONS", &subscriptions.to_string())
            .replace("RETRIES", &retries.to_string())
            .replace("DATA", &template());
        stand.execute(&open).await?;
        stand.settle().await?;
    }
    committed::at_once(&stand, 0, 1, BUSY).await?;
    let started_us = clock::now_us();
    let worker = Worker::start(&stand)?;
    worker.wait_until_recorded(1).await?;
    let began = stand.now().await?;
    committed::at_once(&stand, 1, fresh, BUSY).await?;
    worker.wait_until_recorded(1 + fresh).await?;
    let peak_rss_mb = peak_rss_mb(worker.process.pid()?)?;
    worker.process.stop().await?;
    let (rows, seconds) = stand.drained(began, 0.0).await?;
    let arrivals = receiver.stop().await?;
    let first_us = *arrivals.get(&0).context("the first event did not arrive")?;
    Ok(Measured {
        fresh_per_s: rows as f64 / seconds,
        peak_rss_mb,
        start_s: (first_us.saturating_sub(started_us)) as f64 / 1e6,
    })
}
