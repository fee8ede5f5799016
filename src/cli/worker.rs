//! `posthorn worker`: delivers, until it is told to stop.

use std::path::PathBuf;

use super::logs;
use crate::config::Config;

/// Reads events and delivers them, until SIGTERM or Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file; config.toml.example documents every key
    #[arg(long, value_name = "PATH")]
    pub config: PathBuf,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    logs::start(&config.log)?;
    crate::worker::run(config).await
}
