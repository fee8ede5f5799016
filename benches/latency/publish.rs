//! The publisher: commits events at a fixed rate, and tells when each commit returned.

use std::io::Write;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::clock::now_us;
use crate::support::data::{data, template};
use crate::support::process::Process;

/// Enough that a commit of several milliseconds holds no other one up at 1,000 a second.
const CONNECTIONS: u32 = 16;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long)]
    url: String,
    #[arg(long)]
    rate: u32,
    /// The number of the first event
    #[arg(long)]
    first: usize,
    #[arg(long)]
    events: usize,
    #[arg(long)]
    merchants: u32,
}

/// Each event's number and when its commit had returned, in microseconds of the clock.
pub type Commits = Vec<(usize, u64)>;

/// Publishes in a process of its own.
pub async fn publish(
    url: &str,
    rate: u32,
    first: usize,
    events: usize,
    merchants: u32,
) -> anyhow::Result<Commits> {
    let mut command = Process::this_bench()?;
    command.args(["publish", "--url", url]);
    command.args(["--rate", &rate.to_string()]);
    command.args(["--first", &first.to_string()]);
    command.args(["--events", &events.to_string()]);
    command.args(["--merchants", &merchants.to_string()]);
    let mut process = Process::start(&mut command)?;
    let mut commits = Commits::with_capacity(events);
    while let Some(line) = process.next_line().await? {
        commits.push(serde_json::from_str(&line)?);
    }
    process.ended().await?;
    Ok(commits)
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
        let insert = sqlx::query(
            "INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
             VALUES ($1, 'payment.approved', $2, 'approved', $3::text::json)",
        )
        .bind(format!("merchant-{}", number % args.merchants as usize))
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
