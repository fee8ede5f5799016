//! `posthorn config check`: whether a file can be used, without a database.

use std::io::{self, Write};
use std::path::PathBuf;

use super::words;
use crate::config::Config;

/// Checks a configuration file without a database, and tells all that is wrong with it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Reads the secrets too, as a worker does at its start
    #[arg(long)]
    pub secrets: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = Config::load(&args.file)?;
    if args.secrets {
        config.check_secrets()?;
    }
    let counts = words::counts(&config.declare().entries);
    Ok(writeln!(
        io::stdout(),
        "{}: no problem; {counts}",
        args.file.display()
    )?)
}
