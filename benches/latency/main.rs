//! `cargo bench --bench latency`: how long after its commit an event arrives, at fixed rates.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]

#[path = "../support/mod.rs"]
mod support;

use serde_json::json;

use support::Size;
use support::data::Form;
use support::figures::{Row, Target};
use support::latency::{Latency, Load};
use support::receiver::ReceiverProcess;
use support::stand::Stand;
use support::usage::cpu_ms;
use support::worker::Worker;

const SUBSCRIPTIONS: u32 = 20;

/// Events a second, and the bound of the p99 in milliseconds.
const RATES: [(u32, f64); 3] = [(20, 20.0), (1000, 20.0), (5000, 30.0)];

/// Measures the time from commit to arrival at fixed rates
#[derive(Debug, clap::Args)]
struct Options {
    /// Events a second; may be repeated
    #[arg(long = "rate", value_name = "N")]
    rates: Vec<u32>,

    /// How long to measure at each rate, in seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    support::main("latency", measure)
}

async fn measure(options: Options, size: Size) -> anyhow::Result<Vec<Row>> {
    let mut rates = RATES.to_vec();
    if !options.rates.is_empty() {
        let p99 = |rate| if rate > 1000 { 30.0 } else { 20.0 };
        rates = options
            .rates
            .iter()
            .map(|&rate| (rate, p99(rate)))
            .collect();
    }
    let receiver = ReceiverProcess::start(&["--keep"]).await?;
    let stand = Stand::set_up(size.past()).await?;
    let mut settings = Form::Json.settings();
    settings["url"] = json!(format!("{}/hook/{{n}}", receiver.url));
    settings["max_in_flight"] = json!(50);
    stand.subscribe(0, SUBSCRIPTIONS, &settings).await?;
    let worker = Worker::start(&stand)?;
    let pid = worker.process.pid()?;
    let mut published = 0;
    let mut runs = vec![];
    for (rate, bound) in rates {
        let load = Load {
            rate: size.of(rate.min(100), rate, rate),
            warm_up: size.of(0, 3, 3),
            seconds: options.seconds.unwrap_or(size.of(1, 20, 60)),
            first_merchant: 0,
            merchants: SUBSCRIPTIONS,
        };
        let cpu = (cpu_ms(pid)?, stand.used().await?.cpu_ms);
        let commits = load.run(&stand, &worker, &mut published).await?;
        let events = f64::from(load.rate * (load.warm_up + load.seconds));
        let worker_cpu = (cpu_ms(pid)? - cpu.0) as f64 * 1000.0 / events;
        let postgres_cpu = (stand.used().await?.cpu_ms - cpu.1) as f64 * 1000.0 / events;
        runs.push((rate, bound, commits, worker_cpu, postgres_cpu));
    }
    worker.process.stop().await?;
    let arrivals = receiver.stop().await?;
    let mut rows = vec![];
    for (rate, bound, commits, worker_cpu, postgres_cpu) in runs {
        let Latency { p50, p99, max } = Latency::of(&commits, &arrivals)?;
        let name = |what: &str| format!("{rate}/s: {what}");
        rows.extend([
            Row::new(name("p50"), p50, "ms").target(Target::AtMost(8.0)),
            Row::new(name("p99"), p99, "ms").target(Target::AtMost(bound)),
            Row::new(name("longest"), max, "ms"),
            Row::new(name("CPU of the worker"), worker_cpu, "ms per 1,000"),
            Row::new(
                name("CPU of PostgreSQL, INSERTs included"),
                postgres_cpu,
                "ms per 1,000",
            ),
        ]);
    }
    Ok(rows)
}
