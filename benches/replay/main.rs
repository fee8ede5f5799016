//! `cargo bench --bench replay`: what the replay of a merchant's whole history costs the live
//! traffic, its own included.

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use sqlx::PgPool;
use tokio::time::sleep;

use support::data::{NUMBER, template};
use support::figures::{Row, Target};
use support::history;
use support::latency::{Latency, Load};
use support::receiver::ReceiverProcess;
use support::stand::Stand;
use support::worker::Worker;
use support::{NoOptions, Size};

const MERCHANTS: u32 = 50;

/// Live events a second.
const LIVE: u32 = 500;

/// Replayed deliveries a second.
const REPLAYED: u32 = 1000;

fn main() -> anyhow::Result<()> {
    support::main("replay", async |_: NoOptions, size: Size| {
        let history = size.of(100, 100_000, 1_000_000);
        let alone = size.of(1, 60, 60);
        // Before and after, since the machine may not be idle.
        let before = run(size, 0, alone).await?;
        let beside = run(size, history, size.of(1, 60, 1_000)).await?;
        let after = run(size, 0, alone).await?;
        Ok(vec![
            Row::new(
                format!("p99 of {LIVE}/s while {history} are replayed"),
                beside.latency.p99,
                "ms",
            )
            .beside(f64::midpoint(before.latency.p99, after.latency.p99))
            .target(Target::RatioAtMost(1.1)),
            Row::new("p50 of the same", beside.latency.p50, "ms")
                .beside(f64::midpoint(before.latency.p50, after.latency.p50)),
            Row::new("p99 without, before", before.latency.p99, "ms"),
            Row::new("p99 without, after", after.latency.p99, "ms"),
            Row::new("replayed meanwhile", beside.replayed, "/s"),
        ])
    })
}

struct Run {
    latency: Latency,
    /// Deliveries a second.
    replayed: f64,
}

/// Publishes for so many seconds, while so many deliveries of the first merchant are replayed.
async fn run(size: Size, history: u32, seconds: u32) -> anyhow::Result<Run> {
    let receiver = ReceiverProcess::start(&["--keep"]).await?;
    // With autovacuum: what is opened and delivered leaves dead rows for as long as it lasts.
    let stand = Stand::as_installed().await?;
    let settings = json!({"url": format!("{}/hook/{{n}}", receiver.url), "max_in_flight": 50});
    stand.subscribe(0, MERCHANTS, &settings).await?;
    if history > 0 {
        // A number that is nobody's.
        let data = template().replace(NUMBER, &"9".repeat(NUMBER.len()));
        history::deliver(&stand, history, 1, &data).await?;
    }
    let worker = Worker::start(&stand)?;
    let pool = stand.connect(1).await?;
    let warm_up = size.of(0, 5, 5);
    if history > 0 {
        sqlx::query("SELECT posthorn.replay('merchant-0', rate => $1)")
            .bind(f64::from(REPLAYED))
            .execute(&pool)
            .await?;
    }
    let load = Load {
        rate: size.of(100, LIVE, LIVE),
        warm_up,
        seconds,
        first_merchant: 0,
        merchants: MERCHANTS,
    };
    let mut published = 0;
    let commits = load.run(&stand, &worker, &mut published).await?;
    let opened: f64 =
        sqlx::query_scalar("SELECT coalesce(sum(opened), 0)::float8 FROM posthorn.replays")
            .fetch_one(&pool)
            .await?;
    let replayed = opened / f64::from(warm_up + seconds);
    until_recorded(&pool, published).await?;
    pool.close().await;
    drop(worker);
    let arrivals = receiver.stop().await?;
    Ok(Run {
        latency: Latency::of(&commits, &arrivals)?,
        replayed,
    })
}

/// Until every live event has its ledger row. What the worker counts has the replay in it.
async fn until_recorded(pool: &PgPool, published: usize) -> anyhow::Result<()> {
    for _ in 0..600 {
        let recorded: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM posthorn.events e JOIN posthorn.deliveries d ON d.event_id = e.id
              WHERE e.transaction_id LIKE 'transaction-%' AND d.generation = 0",
        )
        .fetch_one(pool)
        .await?;
        if usize::try_from(recorded)? >= published {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    ensure!(false, "the live events are not recorded");
    Ok(())
}
