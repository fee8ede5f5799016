//! `cargo bench --bench gateway`: what many clients that wait cost a gateway, and how long
//! after its commit an event is with the one that waits for it.
//!
//! Half of the clients hold a Socket.IO WebSocket, half a long-poll; each waits for one
//! transaction of its own. Database, gateway, clients and publisher (this process) are
//! processes of their own. A delay counts from the return of the publisher's COMMIT to the
//! event's arrival in the clients' process; an event that arrives before that has none.
//!
//! With `--json` the last line is `{"rounds": [{"sockets", "polls", "bytes_per_client",
//! "socket_p50_ms", "socket_p99_ms", "poll_p50_ms", "poll_p99_ms", "queries_per_second"}]}`.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]

mod clients;
#[path = "../support/clock.rs"]
mod clock;
#[path = "../support/data.rs"]
#[allow(dead_code, reason = "other benches take more of it")]
mod data;
mod figures;
#[path = "../support/past.rs"]
#[allow(dead_code, reason = "other benches take more of it")]
mod past;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "other benches take more of it")]
mod process;
mod stand;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use posthorn::cli::signals::end_requested;
use sqlx::PgPool;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use clients::{Arrival, Clients, Kind};
use figures::{Figures, Round};
use past::Past;
use stand::Stand;

/// What a process opens beside its connections.
const FILES: u64 = 300;

/// For the next event to arrive, the last ones included.
const LAST_ARRIVALS: Duration = Duration::from_secs(20);

/// Measures a gateway with many clients that wait
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,

    /// Sockets, and as many long-polls; a round for each number
    #[arg(long = "clients", value_name = "N", default_values_t = [50, 10_000])]
    rounds: Vec<usize>,

    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 200)]
    rate: u32,

    /// How long to publish in each round, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    seconds: u32,

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
    Clients(clients::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let end = end_requested()?;
    tokio::select! {
        result = run(&args) => result,
        () = end => Err(anyhow::anyhow!("interrupted")),
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(Role::Clients(args)) = &args.role {
        return clients::run(args).await;
    }
    let mut figures = Figures::default();
    // Both ends of a connection have a file, in processes of their own.
    let files = rlimit::increase_nofile_limit(u64::MAX)?;
    let most = usize::try_from(files.saturating_sub(FILES) / 2).unwrap_or(usize::MAX);
    for &wanted in &args.rounds {
        let clients = wanted.min(most);
        if clients < wanted {
            eprintln!(
                "a process may open {files} files here: {clients} of each kind, not {wanted}"
            );
        }
        figures.rounds.push(round(args, clients).await?);
    }
    print!("{figures}");
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    }
    Ok(())
}

/// On a database and a gateway of its own.
async fn round(args: &Args, clients: usize) -> anyhow::Result<Round> {
    let past = Past::kept_by_default(if args.bench { 1000 } else { 10 });
    let stand = Stand::set_up(2 * clients, past).await?;
    let gateway = stand.start_gateway().await?;
    let before = gateway.memory()?;
    let mut connected = Clients::start(&stand, &gateway.address, clients).await?;
    let memory = gateway.memory()?.saturating_sub(before);

    let pool = stand.connect(4).await?;
    let queries = stand.transactions(&pool).await?;
    let began = Instant::now();
    let commits = tokio::spawn(publish(pool.clone(), args.rate, args.seconds, 2 * clients));
    let mut arrivals = Vec::new();
    let events = (args.rate * args.seconds) as usize;
    while arrivals.len() < events {
        let arrival = timeout(LAST_ARRIVALS, connected.arrival()).await;
        let arrival = arrival.with_context(|| format!("{} of {events} arrived", arrivals.len()))?;
        arrivals.push(arrival?);
    }
    let commits = commits.await??;
    // A backend reports what it has done within a second.
    sleep(Duration::from_secs(2)).await;
    let asked = stand.transactions(&pool).await? - queries;
    // Of the publisher's own there is one for each event, and the look before.
    let asked = asked.saturating_sub(events as u64 + 1);
    let delays = |kind| delays(kind, &arrivals, &commits);
    Round::of(
        clients,
        memory / (2 * clients as u64),
        &delays(Kind::Socket)?,
        &delays(Kind::Poll)?,
        asked as f64 / began.elapsed().as_secs_f64(),
    )
}

/// Evenly over time and over the transactions; returns when each was committed, by number.
async fn publish(
    pool: PgPool,
    rate: u32,
    seconds: u32,
    transactions: usize,
) -> anyhow::Result<HashMap<u64, u64>> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut commits = HashMap::new();
    for number in 0..u64::from(rate * seconds) {
        ticks.tick().await;
        // A prime: neighbours are not asked for one after another.
        let of = (number * 7_919) % transactions as u64;
        sqlx::query("SELECT posthorn.publish('bench', 'payment', $1, 'changed', json_build_object('number', $2))")
            .bind(format!("t{of}"))
            .bind(i64::try_from(number)?)
            .execute(&pool)
            .await?;
        commits.insert(number, clock::now_us());
    }
    Ok(commits)
}

/// In microseconds, ascending.
fn delays(
    kind: Kind,
    arrivals: &[Arrival],
    commits: &HashMap<u64, u64>,
) -> anyhow::Result<Vec<u64>> {
    let mut delays = Vec::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.kind == kind) {
        let committed = commits.get(&arrival.number);
        let committed = committed.context("what was not published arrived")?;
        delays.push(arrival.at_us.saturating_sub(*committed));
    }
    ensure!(!delays.is_empty(), "nothing arrived at a {kind:?}");
    delays.sort_unstable();
    Ok(delays)
}
