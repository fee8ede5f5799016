//! `posthorn source`: tables whose changes of status become events by themselves.

mod attach;
mod compare;
mod detach;
mod list;

use std::process::{ExitCode, Termination};

use anyhow::anyhow;

use super::database::refusal;
use crate::store::sources::{Script, SourceFailed};

/// Makes events of the changes of an existing table: triggers append them in the
/// transaction that changes the status.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Attach(Box<attach::Args>),
    Detach(detach::Args),
    List(list::Args),
    Compare(compare::Args),
}

pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    Ok(match command {
        Command::Attach(args) => attach::run(*args).await?.report(),
        Command::Detach(args) => detach::run(args).await?.report(),
        Command::List(args) => list::run(args).await?.report(),
        Command::Compare(args) => compare::run(args).await?,
    })
}

/// What `--dry-run` prints; psql can run it.
fn runnable(script: &Script) -> String {
    format!("BEGIN;\n{}COMMIT;\n", script.sql)
}

fn explain(error: &SourceFailed) -> anyhow::Error {
    match error {
        SourceFailed::Store(cause) if cause.is_forbidden() => anyhow!(
            "{error}; connect as a role that owns the table (or has TRIGGER on it and its partitions) and the schema posthorn"
        ),
        SourceFailed::Store(cause) => refusal(cause),
        _ => anyhow!("{error}"),
    }
}
