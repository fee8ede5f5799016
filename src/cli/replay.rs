//! `posthorn replay`: deliveries once more.

use std::io::{self, Write};

use anyhow::anyhow;
use uuid::Uuid;

use super::database::{DatabaseArgs, open, refusal};
use super::json::lines;
use super::moment::{Moment, shown};
use super::table::Table;
use crate::store::replays::{
    Filter, Preview, Replay, ask_for_replay, list_replays, preview_replay, steer_replay,
};
use crate::store::shards::cluster_and_time;
use crate::store::{Pool, StoreError};

/// Delivers again what is asked for: workers carry it out, slowly enough for live traffic not
/// to notice, and go on wherever one of them died. A delivery keeps its ids, and its history.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    steer: Option<Steer>,

    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, clap::Subcommand)]
enum Steer {
    /// The replays, newest first
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 20,
              value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// How far a replay is
    Show {
        /// Its id
        #[arg(value_name = "UUID")]
        id: Uuid,
        /// One JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Opens nothing more for now
    Pause(One),
    /// Goes on where it was paused
    Resume(One),
    /// Ends it, and withdraws what it has opened and is not delivered yet
    Cancel(One),
}

#[derive(Debug, clap::Args)]
struct One {
    /// The replay's id
    #[arg(value_name = "UUID")]
    id: Uuid,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, clap::Args)]
struct Ask {
    /// Of this merchant
    #[arg(long)]
    merchant: Option<String>,

    /// To this subscription: its id, or its name with --merchant
    #[arg(long, value_name = "NAME|UUID")]
    subscription: Option<String>,

    /// Of this transaction
    #[arg(long, value_name = "ID")]
    transaction: Option<String>,

    /// Of this event
    #[arg(long, value_name = "UUID")]
    event: Option<Uuid>,

    /// What ended in this state: delivered, `posting_error`, superseded or cancelled; or
    /// missing, for events that a subscription wants by its settings of now and never got, such
    /// as while it was disabled. May be given several times; without it all but superseded and missing
    #[arg(long, value_name = "STATE",
          value_parser = ["delivered", "posting_error", "superseded", "cancelled", "missing"])]
    state: Vec<String>,

    /// Of events inserted since then: a time, a day (UTC) or an age such as 2h
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,

    /// Of events inserted before then; now, if not given
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,

    /// Deliveries a second, over all workers: 0.01 to 10000, such as 20 or 20/s
    #[arg(long, value_name = "N", default_value = "100", value_parser = rate)]
    rate: f64,

    /// Only counts what it would deliver
    #[arg(long)]
    preview: bool,

    /// One JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let database = match &args.steer {
        None => &args.ask.database,
        Some(Steer::List { database, .. } | Steer::Show { database, .. }) => database,
        Some(Steer::Pause(one) | Steer::Resume(one) | Steer::Cancel(one)) => &one.database,
    };
    let pool = open(&database.clone().url()?, 1).await?;
    let said = match args.steer {
        None => ask(&pool, args.ask).await,
        Some(Steer::List { json, limit, .. }) => list(&pool, limit, json).await,
        Some(Steer::Show { id, json, .. }) => show(&pool, id, json).await,
        Some(Steer::Pause(one)) => steer(&pool, one.id, "paused").await,
        Some(Steer::Resume(one)) => steer(&pool, one.id, "running").await,
        Some(Steer::Cancel(one)) => steer(&pool, one.id, "cancelling").await,
    };
    pool.close().await;
    Ok(io::stdout().write_all(said?.as_bytes())?)
}

async fn ask(pool: &Pool, ask: Ask) -> anyhow::Result<String> {
    let (_, now) = cluster_and_time(pool)
        .await
        .map_err(|error| refusal(&error))?;
    let filter = Filter {
        merchant: ask.merchant,
        subscription: ask.subscription,
        transaction_id: ask.transaction,
        event_id: ask.event,
        states: (!ask.state.is_empty()).then_some(ask.state),
        since: ask.since.map(|moment| moment.before(now)),
        until: ask.until.map(|moment| moment.before(now)),
    };
    if ask.preview {
        let found = preview_replay(pool, &filter).await;
        let found = found.map_err(|error| refused(&error))?;
        return if ask.json {
            Ok(lines(&found)?)
        } else {
            Ok(preview(&found))
        };
    }
    let id = ask_for_replay(pool, &filter, ask.rate).await;
    let id = id.map_err(|error| refused(&error))?;
    if ask.json {
        return Ok(format!("{}\n", serde_json::json!({ "id": id })));
    }
    Ok(format!(
        "{id}\nworkers carry it out; `posthorn replay show {id}` tells how far it is\n"
    ))
}

async fn list(pool: &Pool, limit: i64, json: bool) -> anyhow::Result<String> {
    let replays = list_replays(pool, None, limit).await;
    let replays = replays.map_err(|error| refusal(&error))?;
    if json {
        return Ok(lines(&replays)?);
    }
    if replays.is_empty() {
        return Ok("there are no replays\n".to_owned());
    }
    let mut table = Table::new(["REPLAY", "STATE", "ASKED", "BY", "OPENED", "OPEN", "WHAT"]);
    for replay in &replays {
        table.push([
            replay.id.to_string(),
            replay.state.clone(),
            shown(replay.created_at),
            replay.created_by.clone(),
            replay.opened.to_string(),
            replay.open.to_string(),
            what(replay),
        ]);
    }
    Ok(table.text(""))
}

async fn show(pool: &Pool, id: Uuid, json: bool) -> anyhow::Result<String> {
    let found = list_replays(pool, Some(id), 1).await;
    let found = found.map_err(|error| refusal(&error))?;
    let Some(replay) = found.first() else {
        return Err(no_such(id));
    };
    if json {
        return Ok(lines(&found)?);
    }
    let mut table = Table::new(["replay", &id.to_string()]);
    for (name, value) in [
        (
            "state",
            format!("{} since {}", replay.state, shown(replay.changed_at)),
        ),
        (
            "asked",
            format!("{} by {}", shown(replay.created_at), replay.created_by),
        ),
        ("what", what(replay)),
        (
            "events",
            format!("{} to {}", shown(replay.since), shown(replay.until)),
        ),
        ("reached", shown(replay.reached)),
        ("rate", format!("{} a second", replay.rate)),
        (
            "opened",
            format!("{}, of which {} are open now", replay.opened, replay.open),
        ),
        (
            "passed over",
            format!(
                "{} open already, {} purged, {} to disabled subscriptions",
                replay.already_open, replay.purged, replay.disabled
            ),
        ),
    ] {
        table.push([name.to_owned(), value]);
    }
    Ok(table.text(""))
}

async fn steer(pool: &Pool, id: Uuid, state: &str) -> anyhow::Result<String> {
    match steer_replay(pool, id, state).await {
        Ok(true) => Ok(format!("{id} is {state}\n")),
        Ok(false) => Err(no_such(id)),
        Err(error) => Err(refused(&error)),
    }
}

fn no_such(id: Uuid) -> anyhow::Error {
    anyhow!("there is no replay {id}; `posthorn replay list` shows those that are")
}

/// What the database's functions refuse, with their hint.
fn refused(error: &StoreError) -> anyhow::Error {
    match error.of_the_schema() {
        Some(refused) => anyhow!("{refused}"),
        None => refusal(error),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse();
    match number {
        Ok(rate) if (0.01..=10_000.0).contains(&rate) => Ok(rate),
        _ => Err("give deliveries a second, 0.01 to 10000, such as 20 or 20/s".to_owned()),
    }
}

fn preview(found: &[Preview]) -> String {
    let mut table = Table::new(["MERCHANT", "SUBSCRIPTION", "LAST STATE", "DELIVERIES", ""]);
    for row in found {
        table.push([
            row.merchant.clone(),
            row.subscription.clone(),
            row.state.clone(),
            row.deliveries.to_string(),
            match row.hindrance.as_deref() {
                Some("open") => "passed over: open already".to_owned(),
                Some("purged") => "passed over: the payload was purged".to_owned(),
                Some(_) => "passed over: the subscription is disabled".to_owned(),
                None => String::new(),
            },
        ]);
    }
    let count: i64 = found
        .iter()
        .filter(|row| row.hindrance.is_none())
        .map(|row| row.deliveries)
        .sum();
    let rows = table.text("");
    format!("{rows}{count} deliveries would be made again\n")
}

/// The filter in words.
fn what(replay: &Replay) -> String {
    let given = [
        ("merchant", replay.merchant.clone()),
        ("subscription", replay.subscription.clone()),
        ("transaction", replay.transaction_id.clone()),
        ("event", replay.event_id.map(|id| id.to_string())),
    ];
    let given = given
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    let given: Vec<String> = given.collect();
    format!("{} {}", given.join(", "), replay.states.join("|"))
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_deliveries_a_second() {
        assert_eq!(rate("20/s"), Ok(20.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["", "0", "-1", "NaN", "20/min", "10001"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
