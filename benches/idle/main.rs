//! `cargo bench --bench idle`: what a worker and its database use while nothing happens.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]

#[path = "../support/mod.rs"]
mod support;

use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use support::figures::{Row, Target};
use support::stand::Stand;
use support::usage::{cpu_ms, rss_mb};
use support::worker::Worker;
use support::{NoOptions, Size};

fn main() -> anyhow::Result<()> {
    support::main("idle", async |_: NoOptions, size: Size| {
        let stand = Stand::as_installed(size.past()).await?;
        let settings = json!({"url": "http://127.0.0.1:9/hook/{n}"});
        stand.subscribe(0, 20, &settings).await?;
        let worker = Worker::start(&stand)?;
        worker
            .wait_for("posthorn_shards_held", |held| held == 64)
            .await?;
        sleep(Duration::from_secs(size.of(0, 5, 5))).await;
        let pid = worker.process.pid()?;
        let began = Instant::now();
        let before = (cpu_ms(pid)?, stand.used().await?);
        sleep(Duration::from_secs(size.of(1, 30, 120))).await;
        let after = (cpu_ms(pid)?, stand.used().await?);
        let seconds = began.elapsed().as_secs_f64();
        let percent = |ms: u64| ms as f64 / 10.0 / seconds;
        let memory = rss_mb(pid)?;
        worker.process.stop().await?;
        Ok(vec![
            Row::new(
                "CPU of the worker",
                percent(after.0 - before.0),
                "% of a core",
            )
            .target(Target::AtMost(1.0)),
            Row::new(
                "CPU of PostgreSQL",
                percent(after.1.cpu_ms - before.1.cpu_ms),
                "% of a core",
            )
            .target(Target::AtMost(2.0)),
            Row::new("worker's memory", memory, "MB").target(Target::AtMost(40.0)),
            Row::new(
                "WAL",
                (after.1.wal_bytes - before.1.wal_bytes) as f64 / seconds,
                "bytes/s",
            ),
        ])
    })
}
