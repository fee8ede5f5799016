//! `cargo bench --bench drain`: how fast a worker delivers what is committed already, and
//! what that costs, beside the bare HTTP client on the same machine in the same run.
//!
//! The floor is measured before and after the worker, since the machine may not be idle.

#[path = "../support/mod.rs"]
mod support;

mod figures;
mod floor;
mod publish;
mod usage;

use anyhow::{Context, ensure};
use clap::Parser;
use sqlx::PgPool;

use figures::Figures;
use support::process::Process;
use support::stand::{Stand, Subscriptions};
use usage::{cpu_ms, cpu_ms_with_children, peak_rss_mb};

/// Drains committed events to a local receiver, and compares with the bare HTTP client
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,

    /// Events, each for one subscription
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    events: usize,

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
    Floor(floor::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Role::Floor(args)) = args.role {
        return support::run(floor::run(args)).await;
    }
    let figures = support::run(measure(&args)).await?;
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        println!("{figures}");
    }
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<Figures> {
    let Args {
        events,
        subscriptions,
        ..
    } = *args;
    let mut receiver = Process::start(Process::posthorn().args([
        "receiver",
        "--quiet",
        "--listen",
        "127.0.0.1:0",
    ]))?;
    let said = receiver.next_line().await?.unwrap_or_default();
    let url = said
        .strip_prefix("listening on ")
        .context("the receiver does not say where it listens")?;
    let stand = Stand::set_up(url, subscriptions).await?;
    publish::publish(&stand, events, subscriptions).await?;
    let floor_before = floor::measure(url, events, subscriptions).await?;

    // Not in the worker's database: only its own commits are counted there.
    let server = PgPool::connect(&stand.postgres.url("postgres")).await?;
    let postgres = stand.postgres.postmaster_pid();
    let commits_before = settled_commits(&server).await?;
    let wal_before = wal_position(&server).await?;
    let postgres_before = cpu_ms_with_children(postgres)?;
    let receiver_before = cpu_ms(receiver.pid()?)?;

    let worker = stand.start_worker()?;
    worker.wait_until_recorded(events).await?;
    let pid = worker.process.pid()?;
    let worker_cpu_ms = cpu_ms(pid)?;
    let worker_peak_rss_mb = peak_rss_mb(pid)?;
    let receiver_cpu_ms = cpu_ms(receiver.pid()?)? - receiver_before;
    let postgres_cpu_ms = cpu_ms_with_children(postgres)? - postgres_before;
    let wal_bytes = wal_position(&server).await? - wal_before;
    worker.process.stop().await?;
    let commits = settled_commits(&server).await? - commits_before;

    let ledger = stand.connect(1).await?;
    let (rows, seconds): (i64, f64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM posthorn.deliveries WHERE state = 'delivered'),
                extract(epoch FROM (SELECT max(finished_at) FROM posthorn.deliveries)
                                 - (SELECT min(started_at) FROM posthorn.attempts))::float8",
    )
    .fetch_one(&ledger)
    .await?;
    ensure!(
        usize::try_from(rows)? == events,
        "{rows} ledger rows of {events} events"
    );
    let floor_after = floor::measure(url, events, subscriptions).await?;

    let floor = floor::Floor {
        requests: floor_before.requests + floor_after.requests,
        seconds: floor_before.seconds + floor_after.seconds,
        cpu_ms: floor_before.cpu_ms + floor_after.cpu_ms,
    };
    Ok(Figures::of(&figures::Measured {
        events,
        subscriptions,
        seconds,
        floor,
        worker_cpu_ms,
        worker_peak_rss_mb,
        receiver_cpu_ms,
        postgres_cpu_ms,
        wal_bytes,
        commits,
    }))
}

/// The commits in the worker's database when no session is left in it: a session may
/// keep its counts to itself until it ends.
async fn settled_commits(server: &PgPool) -> anyhow::Result<i64> {
    let mut before = None;
    loop {
        let (sessions, now): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = 'bench'),
                    (SELECT xact_commit FROM pg_stat_database WHERE datname = 'bench')",
        )
        .fetch_one(server)
        .await?;
        if sessions == 0 && before == Some(now) {
            return Ok(now);
        }
        before = Some(now);
        tokio::time::sleep(publish::STATISTICS).await;
    }
}

async fn wal_position(server: &PgPool) -> anyhow::Result<i64> {
    let position = "SELECT (pg_current_wal_lsn() - '0/0')::int8";
    Ok(sqlx::query_scalar(position).fetch_one(server).await?)
}
