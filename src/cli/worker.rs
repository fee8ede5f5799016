//! `posthorn worker`: delivers, until it is told to stop.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{logs, signals};
use crate::config::Config;

/// Reads events and delivers them, until SIGTERM or Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file; config.toml.example documents every key
    #[arg(long, value_name = "PATH")]
    pub config: PathBuf,

    /// Run a gateway in the same process too, as `posthorn gateway` does
    #[arg(long)]
    pub gateway: bool,
}

/// SIGTERM or Ctrl-C ends it in order, SIGHUP makes it read the file's subscriptions and
/// profiles again.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    logs::start(&config.log)?;
    let stop = signals::stop_when_requested()?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let (reload, reloads) = mpsc::channel(1);
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            // One that is waiting already will read the newest file too.
            let _ = reload.try_send(());
        }
    });
    crate::worker::run(config, args.gateway, Some(args.config), reloads, stop).await
}
