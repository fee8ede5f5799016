//! The publisher: commits events at a fixed rate, and tells when each commit returned.

use std::io::Write;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::clock::now_us;
use super::data::{data, template};
use super::process::Process;

/// Enough that a commit of several milliseconds holds no other one up.
const CONNECTIONS: u32 = 16;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long)]
    pub url: String,
    /// Events a second
    #[arg(long)]
    pub rate: u32,
    /// The number of the first event
    #[arg(long)]
    pub first: usize,
    #[arg(long)]
    pub events: usize,
    #[arg(long)]
    pub first_merchant: u32,
    #[arg(long)]
    pub merchants: u32,
}

/// Each event's number and when its commit had returned, in microseconds of the clock.
pub type Commits = Vec<(usize, u64)>;

impl Args {
    /// Publishes in a process of its own.
    pub async fn publish(&self) -> anyhow::Result<Commits> {
        let mut command = Process::this_bench()?;
        command.args(["publish", "--url", &self.url]);
        command.args(["--rate", &self.rate.to_string()]);
        command.args(["--first", &self.first.to_string()]);
        command.args(["--events", &self.events.to_string()]);
        command.args(["--first-merchant", &self.first_merchant.to_string()]);
        command.args(["--merchants", &self.merchants.to_string()]);
        let mut process = Process::start(&mut command)?;
        let mut commits = Commits::with_capacity(self.events);
        while let Some(line) = process.next_line().await? {
            commits.push(serde_json::from_str(&line)?);
        }
        process.ended().await?;
        Ok(commits)
    }
}

/// An open loop: an event is due at its time, however long the others take.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new()
        .min_connections(CONNECTIONS)
        .max_connections(CONNECTIONS)
        .connect(&args.url)
        .await?;
    let template = template();
    let began = Instant::now();
    let mut inserts = JoinSet::new();
    for nth in 0..args.events {
        let due = Duration::from_secs(1) * u32::try_from(nth)? / args.rate;
        sleep_until(began + due).await;
        let number = args.first + nth;
        let merchant = args.first_merchant as usize + number % args.merchants as usize;
        let insert = sqlx::query(
            "INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
             VALUES ($1, 'payment.approved', $2, 'approved', $3::text::json)",
        )
        .bind(format!("merchant-{merchant}"))
        .bind(format!("transaction-{number}"))
        .bind(data(&template, number));
        let pool = pool.clone();
        inserts.spawn(async move {
            insert.execute(&pool).await?;
            Ok::<_, sqlx::Error>((number, now_us()))
        });
    }
    let mut stdout = std::io::stdout().lock();
    for insert in inserts.join_all().await {
        writeln!(stdout, "{}", serde_json::to_string(&insert?)?)?;
    }
    Ok(())
}
