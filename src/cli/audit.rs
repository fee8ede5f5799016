//! `posthorn audit`: are all deliveries there, and are the records as they were?

mod deliveries;
mod seals;

use std::path::PathBuf;
use std::process::ExitCode;

use super::database::{DatabaseArgs, open};
use super::moment::Moment;

/// Compares the events with their deliveries, or the records of sealed days with their seals.
/// Exits with 1 where something is missing or was changed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub what: What,

    /// Send what is missing
    #[arg(long, conflicts_with_all = ["seals", "export_seals"])]
    pub repair: bool,

    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,

    /// Seals that were exported earlier and kept elsewhere: the database's must be the same
    #[arg(long, value_name = "FILE", conflicts_with_all = ["since", "export_seals"])]
    pub against: Option<PathBuf>,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct What {
    /// Compare the events from then on with their deliveries: a time such as
    /// 2026-03-01T12:00:00Z, a day, or how long ago, such as "2 days"
    #[arg(long, value_name = "TIME|DURATION")]
    pub since: Option<Moment>,

    /// Compare the rows of every sealed day with its seal
    #[arg(long)]
    pub seals: bool,

    /// Print the seals, a JSON object a line, to be kept elsewhere
    #[arg(long)]
    pub export_seals: bool,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        what,
        repair,
        json,
        against,
        database,
    } = args;
    let pool = open(&database.url()?, 2).await?;
    let result = match what {
        What {
            since: Some(since), ..
        } => deliveries::compare(&pool, since, repair, json).await,
        What {
            export_seals: true, ..
        } => seals::export(&pool).await,
        What { .. } => seals::verify(&pool, against.as_deref(), json).await,
    };
    pool.close().await;
    result
}
