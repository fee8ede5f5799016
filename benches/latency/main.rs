//! `cargo bench --bench latency`: how long after its commit an event arrives.
//!
//! From the return of the publisher's COMMIT to the arrival of the request at the
//! receiver. A request can arrive before the publisher has heard of its commit: that is a
//! latency of zero.
//!
//! With `--json` the last line is `{"rates": [{"rate": …, "p50_ms": …, "p99_ms": …}, …]}`.

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod publish;

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context, ensure};
use clap::Parser;
use posthorn::receiver::{Received, Receiver};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

use support::stand::{Stand, Subscriptions};

/// Measures the time from commit to arrival at fixed rates
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,

    /// Events a second; may be repeated
    #[arg(long = "rate", value_name = "N", default_values_t = [20, 1000])]
    rates: Vec<u32>,

    /// How long to measure at each rate, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    seconds: u32,

    /// How long to publish at each rate before that, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    warm_up: u32,

    #[command(flatten)]
    subscriptions: Subscriptions,

    /// End with one line of JSON
    #[arg(long)]
    json: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Role {
    #[command(hide = true)]
    Publish(publish::Args),
}

#[derive(Debug, Serialize)]
struct Figures {
    rates: Vec<Latency>,
}

#[derive(Debug, Serialize)]
struct Latency {
    /// Events a second.
    rate: u32,
    events: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Role::Publish(args)) = args.role {
        return support::run(publish::run(args)).await;
    }
    let figures = support::run(measure(&args)).await?;
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{figures}");
    }
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<Figures> {
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into()).await?;
    let mut requests = receiver.watch();
    let stand = Stand::set_up(&receiver.url(""), args.subscriptions).await?;
    let worker = stand.start_worker()?;
    let merchants = args.subscriptions.subscriptions;
    let mut published = 0;
    let mut rates = Vec::new();
    for &rate in &args.rates {
        let warm_up = (rate * args.warm_up) as usize;
        let events = warm_up + (rate * args.seconds) as usize;
        let (first, url) = (published, stand.url());
        let (commits, arrivals) = tokio::try_join!(
            publish::publish(&url, rate, first, events, merchants),
            arrivals(&mut requests, events),
        )?;
        published += events;
        worker.wait_until_recorded(published).await?;
        let mut latencies = Vec::with_capacity(events);
        for (number, committed) in commits {
            let arrived = arrivals.get(&number).context("an event did not arrive")?;
            if number >= first + warm_up {
                latencies.push(arrived.saturating_sub(committed));
            }
        }
        rates.push(Latency::of(rate, latencies)?);
    }
    worker.process.stop().await?;
    Ok(Figures { rates })
}

/// When each of so many events arrived for the first time, by its number.
async fn arrivals(
    requests: &mut mpsc::Receiver<Arc<Received>>,
    events: usize,
) -> anyhow::Result<HashMap<usize, u64>> {
    #[derive(Deserialize)]
    struct Data<'a> {
        number: &'a str,
    }
    let mut arrivals = HashMap::with_capacity(events);
    while arrivals.len() < events {
        let request = requests.recv().await.context("the receiver has ended")?;
        let data: Data = serde_json::from_slice(&request.body)?;
        let arrived = clock::us_at(request.arrived);
        arrivals.entry(data.number.parse()?).or_insert(arrived);
    }
    Ok(arrivals)
}

impl Latency {
    fn of(rate: u32, mut latencies: Vec<u64>) -> anyhow::Result<Self> {
        ensure!(!latencies.is_empty(), "nothing was measured at {rate}/s");
        latencies.sort_unstable();
        Ok(Self {
            rate,
            events: latencies.len(),
            p50_ms: ms(latencies[(latencies.len() - 1) / 2]),
            p99_ms: ms(latencies[(latencies.len() - 1) * 99 / 100]),
            max_ms: ms(latencies[latencies.len() - 1]),
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of a run are far below 2^52"
)]
fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "from commit to arrival, in ms\n")?;
        writeln!(
            f,
            "{:>10}{:>10}{:>10}{:>10}{:>10}",
            "events/s", "events", "p50", "p99", "max"
        )?;
        for Latency {
            rate,
            events,
            p50_ms,
            p99_ms,
            max_ms,
        } in &self.rates
        {
            writeln!(
                f,
                "{rate:>10}{events:>10}{p50_ms:>10}{p99_ms:>10}{max_ms:>10}"
            )?;
        }
        Ok(())
    }
}
