//! `posthorn status`: how it is, at a glance.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::database::{DatabaseArgs, open, refusal};
use super::table::Table;
use crate::store::status::{Status, SubscriptionStatus, read_status};

/// Shows the workers, the shards, what waits and since when, and which endpoints are in
/// trouble. Exit code 0 whatever it shows; 1 if the database could not be asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// All subscriptions of this merchant, in place of those of all with something open
    #[arg(long)]
    pub merchant: Option<String>,

    /// How many subscriptions at most, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,

    /// One JSON object
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let pool = open(&args.database.url()?, 1).await?;
    let status = read_status(&pool, args.merchant.as_deref(), args.limit).await;
    pool.close().await;
    let status = status.map_err(|error| refusal(&error))?;
    let said = if args.json {
        serde_json::to_string_pretty(&status)? + "\n"
    } else {
        describe(&status)
    };
    Ok(io::stdout().write_all(said.as_bytes())?)
}

fn describe(status: &Status) -> String {
    [
        workers(status),
        shards(status),
        unread(status),
        open_deliveries(status),
        subscriptions(status),
    ]
    .concat()
}

fn workers(status: &Status) -> String {
    let live = status.workers.iter().filter(|worker| worker.live).count();
    let mut table = Table::new([
        "WORKER",
        "VERSION",
        "SEEN",
        "UP",
        "SHARDS",
        "IN FLIGHT",
        "QUEUED",
    ]);
    for worker in &status.workers {
        let seen = ago(status.at, worker.seen_at);
        table.push([
            worker.worker.clone(),
            worker.version.clone(),
            if worker.live {
                seen
            } else {
                format!("{seen}, gone")
            },
            ago(status.at, worker.started_at),
            worker.shards.to_string(),
            worker.in_flight.to_string(),
            worker.queued.to_string(),
        ]);
    }
    let rows = table.text("  ");
    format!("workers: {live} live of {}\n{rows}", status.workers.len())
}

fn shards(status: &Status) -> String {
    let shards = &status.shards;
    let oldest = shards.oldest_checkpoint_at;
    let oldest = oldest.map(|at| format!("; oldest checkpoint {} ago", ago(status.at, at)));
    let of_others = shards.of_other_clusters;
    let of_others = (of_others > 0)
        .then(|| format!("; {of_others} checkpoints are of before a restore or failover"));
    format!(
        "shards: {} owned, {} free, {} expired{}{}\n",
        shards.owned,
        shards.free,
        shards.expired,
        oldest.unwrap_or_default(),
        of_others.unwrap_or_default()
    )
}

fn unread(status: &Status) -> String {
    let oldest = status.unread.oldest_at;
    let oldest = oldest.map(|at| format!(", the oldest {} ago", ago(status.at, at)));
    format!(
        "events behind the checkpoints: {}{}\n",
        status.unread.events,
        oldest.unwrap_or_default()
    )
}

fn open_deliveries(status: &Status) -> String {
    let open = &status.open;
    let oldest = open.oldest_at;
    let oldest = oldest.map(|at| format!("; the oldest undelivered {} ago", ago(status.at, at)));
    format!(
        "open deliveries: {} ({} pending, {} in retry, {} of replays){}\n",
        open.deliveries,
        open.pending,
        open.retrying,
        open.replayed,
        oldest.unwrap_or_default()
    )
}

fn subscriptions(status: &Status) -> String {
    let mut table = Table::new([
        "MERCHANT",
        "SUBSCRIPTION",
        "OPEN",
        "RETRY",
        "REPLAYED",
        "OLDEST",
        "NEXT TRY",
        "TROUBLE",
    ]);
    for row in &status.subscriptions {
        table.push([
            row.merchant.clone(),
            row.subscription.clone(),
            row.open.to_string(),
            row.retrying.to_string(),
            row.replayed.to_string(),
            row.oldest_at
                .map_or("-".to_owned(), |at| ago(status.at, at)),
            next_try(status.at, row),
            trouble(row),
        ]);
    }
    let rows = table.text("  ");
    format!(
        "subscriptions: {} with open deliveries, {} in trouble\n{rows}",
        status.open.subscriptions, status.open.in_trouble
    )
}

fn trouble(row: &SubscriptionStatus) -> String {
    let trouble = row.trouble.clone().unwrap_or_default();
    match &row.why {
        Some(why) => format!("{trouble}: {why}"),
        None => trouble,
    }
}

fn next_try(now: DateTime<Utc>, row: &SubscriptionStatus) -> String {
    match row.next_attempt_at {
        None => "-".to_owned(),
        Some(at) if at <= now => "due".to_owned(),
        Some(at) => format!("in {}", ago(at, now)),
    }
}

/// The span between two times, such as `3m 20s`; no finer than people need.
fn ago(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let span = (now - at).to_std().unwrap_or_default();
    let unit = match span.as_secs() {
        0..3_600 => 1,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    let rounded = Duration::from_secs(span.as_secs() / unit * unit);
    if rounded.is_zero() {
        "<1s".to_owned()
    } else {
        humantime::format_duration(rounded).to_string()
    }
}
