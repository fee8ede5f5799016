//! The figures of a run, for people and as JSON.

use std::fmt;

use serde::Serialize;

use crate::floor::Floor;
use crate::support::stand::Subscriptions;

/// What was counted while the worker ran.
pub struct Measured {
    pub events: usize,
    pub subscriptions: Subscriptions,
    /// From the first request to the last ledger row.
    pub seconds: f64,
    pub floor: Floor,
    pub worker_cpu_ms: u64,
    pub worker_peak_rss_mb: f64,
    pub receiver_cpu_ms: u64,
    pub postgres_cpu_ms: u64,
    pub wal_bytes: i64,
    pub commits: i64,
}

/// The names are the keys of the JSON line.
#[derive(Debug, Serialize)]
pub struct Figures {
    events: usize,
    subscriptions: u32,
    max_in_flight: u16,
    deliveries_per_s: f64,
    floor_per_s: f64,
    /// `deliveries_per_s` / `floor_per_s`.
    share_of_floor: f64,
    worker_cpu_ms_per_1000: f64,
    floor_cpu_ms_per_1000: f64,
    postgres_cpu_ms_per_1000: f64,
    receiver_cpu_ms_per_1000: f64,
    wal_bytes_per_delivery: f64,
    commits_per_delivery: f64,
    worker_peak_rss_mb: f64,
}

impl Figures {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of one run are far below 2^52"
    )]
    pub fn of(measured: &Measured) -> Self {
        let deliveries = measured.events as f64;
        let floor = &measured.floor;
        let deliveries_per_s = deliveries / measured.seconds;
        let floor_per_s = floor.requests as f64 / floor.seconds;
        let cpu = |ms: u64| rounded(ms as f64 * 1000.0 / deliveries, 10.0);
        Self {
            events: measured.events,
            subscriptions: measured.subscriptions.subscriptions,
            max_in_flight: measured.subscriptions.max_in_flight,
            deliveries_per_s: deliveries_per_s.round(),
            floor_per_s: floor_per_s.round(),
            share_of_floor: rounded(deliveries_per_s / floor_per_s, 1000.0),
            worker_cpu_ms_per_1000: cpu(measured.worker_cpu_ms),
            floor_cpu_ms_per_1000: rounded(
                floor.cpu_ms as f64 * 1000.0 / floor.requests as f64,
                10.0,
            ),
            postgres_cpu_ms_per_1000: cpu(measured.postgres_cpu_ms),
            receiver_cpu_ms_per_1000: cpu(measured.receiver_cpu_ms),
            wal_bytes_per_delivery: (measured.wal_bytes as f64 / deliveries).round(),
            commits_per_delivery: rounded(measured.commits as f64 / deliveries, 10_000.0),
            worker_peak_rss_mb: rounded(measured.worker_peak_rss_mb, 10.0),
        }
    }
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} events of 500 bytes, {} subscriptions with max_in_flight {}\n",
            self.events, self.subscriptions, self.max_in_flight
        )?;
        let mut line =
            |name: &str, value: f64, unit: &str| writeln!(f, "{name:<28}{value:>12} {unit}");
        line("delivered", self.deliveries_per_s, "/s")?;
        line("bare client", self.floor_per_s, "/s")?;
        line("share of the bare client", self.share_of_floor, "")?;
        line("CPU, worker", self.worker_cpu_ms_per_1000, "ms per 1,000")?;
        line(
            "CPU, bare client",
            self.floor_cpu_ms_per_1000,
            "ms per 1,000",
        )?;
        line(
            "CPU, PostgreSQL",
            self.postgres_cpu_ms_per_1000,
            "ms per 1,000",
        )?;
        line(
            "CPU, receiver",
            self.receiver_cpu_ms_per_1000,
            "ms per 1,000",
        )?;
        line("WAL", self.wal_bytes_per_delivery, "bytes per delivery")?;
        line("commits", self.commits_per_delivery, "per delivery")?;
        line("worker's memory, peak", self.worker_peak_rss_mb, "MB")
    }
}
