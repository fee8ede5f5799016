//! `posthorn demo`: the whole flow on this machine, live.

use std::fs::File;
use std::process::ExitCode;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::logs;
use super::signals::end_requested;
use crate::demo::play::play;
use crate::demo::postgres::{PrivatePostgres, Settings};
use crate::demo::stage::Stage;

/// Shows the whole flow on this machine: a private PostgreSQL, a stream of events, a
/// worker, and endpoints of several merchants, two of which fail. Needs nothing but
/// PostgreSQL's binaries, and leaves nothing behind.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End by itself after this time, such as 20s; the exit code is 0 only if every event
    /// is accounted for
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    pub length: Option<Duration>,
}

fn length(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(length) if length >= Duration::from_secs(1) => Ok(length),
        Ok(_) | Err(_) => Err("give a duration from one second up, such as 20s or 5m".to_owned()),
    }
}

/// Runs until Ctrl-C or SIGTERM, or for the time given.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let end = end_requested()?;
    let postgres = spawn_blocking(|| PrivatePostgres::start(&Settings::default())).await??;
    let played = play_beside(&postgres, args.length, end).await;
    spawn_blocking(|| postgres.stop()).await??;
    Ok(if played? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn play_beside(
    postgres: &PrivatePostgres,
    length: Option<Duration>,
    end: impl Future<Output = ()>,
) -> anyhow::Result<bool> {
    let stage = Stage::set(postgres).await?;
    logs::start_in_file(&stage.config.log, File::create(&stage.log_file)?)?;
    play(stage, length, end).await
}
