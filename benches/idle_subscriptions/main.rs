//! `cargo bench --bench idle_subscriptions`: what very many subscriptions without events cost a
//! worker, and what others notice of a change of one of them.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use tokio::time::{Instant, interval, sleep};

use support::figures::{Row, Target};
use support::latency::{Latency, Load};
use support::publisher::Commits;
use support::receiver::ReceiverProcess;
use support::stand::Stand;
use support::usage::{peak_rss_mb, rss_mb};
use support::worker::Worker;
use support::{NoOptions, Size, clock, committed};

/// The subscriptions that events are for.
const BUSY: u32 = 50;

/// Pages of them are gone through with pauses.
const PATIENCE: Duration = Duration::from_mins(20);

fn main() -> anyhow::Result<()> {
    support::main("idle_subscriptions", async |_: NoOptions, size: Size| {
        measure(size, size.of(2000, 200_000, 1_000_000)).await
    })
}

async fn measure(size: Size, idle: u32) -> anyhow::Result<Vec<Row>> {
    let receiver = ReceiverProcess::start(&["--keep"]).await?;
    let stand = Stand::set_up(size.past()).await?;
    let settings = json!({"url": format!("{}/hook/{{n}}", receiver.url), "max_in_flight": 50});
    stand.subscribe(0, BUSY + idle, &settings).await?;
    stand.settle().await?;
    committed::at_once(&stand, 0, 1, BUSY).await?;
    let started_us = clock::now_us();
    let worker = Worker::start(&stand)?;
    worker.wait_until_recorded(1).await?;
    let pid = worker.process.pid()?;
    let began = Instant::now();
    let counted = (BUSY + idle) as usize;
    while worker
        .metric("posthorn_subscriptions{settings=\"valid\"}")
        .await?
        < counted
    {
        anyhow::ensure!(began.elapsed() < PATIENCE, "they are not counted");
        sleep(Duration::from_millis(200)).await;
    }
    let counted_s = began.elapsed().as_secs_f64();
    let mut published = 1;
    let load = Load {
        rate: size.of(100, 2000, 2000),
        warm_up: size.of(0, 3, 3),
        seconds: size.of(1, 20, 60),
        first_merchant: 0,
        merchants: BUSY,
    };
    let alone = load.run(&stand, &worker, &mut published).await?;
    let beside = beside_changes(load, &stand, &worker, &mut published).await?;
    let memory = (rss_mb(pid)?, peak_rss_mb(pid)?);
    worker.process.stop().await?;
    let arrivals = receiver.stop().await?;
    let first_us = *arrivals.get(&0).context("the first event did not arrive")?;
    let (alone, beside) = (
        Latency::of(&alone, &arrivals)?,
        Latency::of(&beside, &arrivals)?,
    );
    let name = |what: &str| format!("{idle} idle subscriptions: {what}");
    Ok(vec![
        Row::new(
            name("start to first delivery"),
            first_us.saturating_sub(started_us) as f64 / 1e6,
            "s",
        )
        .target(Target::AtMost(5.0)),
        Row::new(name("until all are counted"), counted_s, "s"),
        Row::new(name("worker's memory"), memory.0, "MB").target(Target::AtMost(250.0)),
        Row::new(name("worker's memory, peak"), memory.1, "MB").target(Target::AtMost(250.0)),
        Row::new(name("one changes each second, p50"), beside.p50, "ms").beside(alone.p50),
        Row::new(name("one changes each second, p99"), beside.p99, "ms")
            .beside(alone.p99)
            .target(Target::RatioAtMost(1.1)),
    ])
}

/// The load while one of the idle subscriptions is paused or resumed each second.
async fn beside_changes(
    load: Load,
    stand: &Stand,
    worker: &Worker,
    published: &mut usize,
) -> anyhow::Result<Commits> {
    let pool = stand.connect(1).await?;
    let changes = async {
        let mut tick = interval(Duration::from_secs(1));
        for number in 0.. {
            tick.tick().await;
            let merchant = format!("merchant-{}", BUSY + number % 1000);
            sqlx::query(
                "UPDATE posthorn.subscriptions SET paused = NOT paused WHERE merchant = $1",
            )
            .bind(merchant)
            .execute(&pool)
            .await?;
        }
        anyhow::Ok(())
    };
    let commits = tokio::select! {
        commits = load.run(stand, worker, published) => commits?,
        ended = changes => anyhow::bail!("the changes ended: {ended:?}"),
    };
    pool.close().await;
    Ok(commits)
}
