//! `cargo bench --bench drain`: how fast a worker delivers what is committed already, and
//! what that costs, beside the bare client and the bare database in the same run.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod drained;
mod ledger;
mod locks;
mod measured;
mod partitions;
mod plain;

use support::Size;
use support::figures::Row;

/// Drains committed events to a local receiver, and compares with the bare HTTP client
#[derive(Debug, clap::Args)]
struct Options {
    /// Only these
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<Scenario>,

    /// Events of a scenario, each for one subscription
    #[arg(long, value_name = "N")]
    events: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// The data as it was published, Basic authentication
    Json,
    /// The same in databases that have few and many days behind them
    Partitions,
    /// A field map in XML, a Standard Webhooks signature
    Xml,
    /// A receiver that answers after 50 ms, 500 requests at a time
    Slow,
    /// 1,000 subscriptions with a client certificate each
    Mtls,
    /// A ledger that is full already
    Ledger,
}

const ALL: [Scenario; 6] = [
    Scenario::Json,
    Scenario::Partitions,
    Scenario::Xml,
    Scenario::Slow,
    Scenario::Mtls,
    Scenario::Ledger,
];

fn main() -> anyhow::Result<()> {
    support::main("drain", async |options: Options, size| {
        let mut rows = vec![];
        for scenario in ALL {
            if options.scenarios.is_empty() || options.scenarios.contains(&scenario) {
                rows.extend(scenario.measure(options.events, size).await?);
            }
        }
        Ok(rows)
    })
}

impl Scenario {
    async fn measure(self, events: Option<usize>, size: Size) -> anyhow::Result<Vec<Row>> {
        let events = |full| events.unwrap_or(size.of(400, 100_000, full));
        let many = events(100_000);
        match self {
            Self::Json => plain::json(events(500_000), size).await,
            Self::Partitions => partitions::measure(many, size).await,
            Self::Xml => plain::xml(many, size).await,
            Self::Slow => plain::slow(many, size).await,
            Self::Mtls => certificates::measure(many, size).await,
            Self::Ledger => ledger::measure(many, size).await,
        }
    }
}
