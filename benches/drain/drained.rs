//! One drain: a worker starts on events that are committed, and ends when all have their
//! rows.

use anyhow::ensure;
use chrono::{DateTime, Utc};

use crate::support::stand::Stand;
use crate::support::usage::{cpu_ms, peak_rss_mb, rss_mb};
use crate::support::worker::Worker;

/// What it took, the worker's start included in what was used but not in the time.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    /// Before the worker, by the database's clock.
    pub began: DateTime<Utc>,
    pub per_s: f64,
    /// CPU for 1,000 deliveries.
    pub worker_cpu_ms: f64,
    pub postgres_cpu_ms: f64,
    pub receiver_cpu_ms: f64,
    /// For one delivery.
    pub wal_bytes: f64,
    pub commits: f64,
    /// That waited for so long that they were moved to the database, of 1,000.
    pub spilled: f64,
    pub batches: usize,
    pub peak_rss_mb: f64,
    pub rss_mb: f64,
}

/// `settled`: the share of the deliveries after which the rate counts.
pub async fn drain(
    stand: &Stand,
    receiver: u32,
    events: usize,
    settled: f64,
) -> anyhow::Result<Drained> {
    let commits_before = stand.settled_commits().await?;
    let before = stand.used().await?;
    let receiver_before = cpu_ms(receiver)?;

    let began = stand.now().await?;
    let worker = Worker::start(stand)?;
    worker.wait_until_recorded(events).await?;
    let pid = worker.process.pid()?;
    let worker_cpu_ms = cpu_ms(pid)?;
    let (peak_rss_mb, rss_mb) = (peak_rss_mb(pid)?, rss_mb(pid)?);
    let receiver_cpu_ms = cpu_ms(receiver)? - receiver_before;
    let after = stand.used().await?;
    let batches = worker
        .metric("posthorn_batch_duration_seconds_count")
        .await?;
    let spilled = worker.metric("posthorn_deliveries_spilled_total").await?;
    worker.process.stop().await?;
    let commits = stand.settled_commits().await? - commits_before;

    let (rows, seconds) = stand.drained(began, settled).await?;
    let all = events as f64;
    ensure!(
        rows as f64 + all * settled >= all,
        "{rows} ledger rows of {events} events"
    );
    Ok(Drained {
        began,
        per_s: rows as f64 / seconds,
        worker_cpu_ms: worker_cpu_ms as f64 * 1000.0 / all,
        postgres_cpu_ms: (after.cpu_ms - before.cpu_ms) as f64 * 1000.0 / all,
        receiver_cpu_ms: receiver_cpu_ms as f64 * 1000.0 / all,
        wal_bytes: (after.wal_bytes - before.wal_bytes) as f64 / all,
        commits: commits as f64 / all,
        spilled: spilled as f64 * 1000.0 / all,
        batches,
        peak_rss_mb,
        rss_mb,
    })
}
