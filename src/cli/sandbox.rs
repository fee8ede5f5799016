//! `posthorn sandbox`: runs a command beside a private PostgreSQL, such as
//! `cargo sqlx prepare --check` for the Makefile.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::signals::end_requested;
use crate::config::builtin_profiles;
use crate::demo::postgres::{PrivatePostgres, Settings};
use crate::store::schema::migrate;

/// What the command gets to end by itself after Ctrl-C, which reaches it too. A SIGTERM
/// may have been for this process only, and must not leave the command behind.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a command with `DATABASE_URL` set to a private PostgreSQL that has the schema and
/// nothing else, and is removed after it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// The exit code is the command's own; 128 and the signal's number if one ended it.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let end = end_requested()?;
    let postgres = spawn_blocking(|| PrivatePostgres::start(&Settings::fast())).await??;
    let ended = run_beside(&postgres, &args.command, end).await;
    spawn_blocking(|| postgres.stop()).await??;
    Ok(exit_code(ended?))
}

async fn run_beside(
    postgres: &PrivatePostgres,
    command: &[String],
    end: impl Future<Output = ()>,
) -> anyhow::Result<ExitStatus> {
    let url = postgres.url("postgres");
    migrate(&url.clone().into(), None, &builtin_profiles()).await?;
    let [program, arguments @ ..] = command else {
        anyhow::bail!("there is no command to run");
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", &url)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    tokio::select! {
        ended = child.wait() => return Ok(ended?),
        () = end => {}
    }
    if let Ok(ended) = timeout(GRACE, child.wait()).await {
        return Ok(ended?);
    }
    child.start_kill()?;
    Ok(child.wait().await?)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let signal = || status.signal().map_or(1, |signal| 128 + signal);
    let code = status.code().unwrap_or_else(signal);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
