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
    let guesses = if args.secrets {
        config.check_secrets()?
    } else {
        Vec::new()
    };
    let counts = words::counts(&config.declare().entries);
    let mut out = io::stdout();
    for guess in guesses {
        writeln!(out, "{guess}")?;
    }
    Ok(writeln!(
        out,
        "{}: no problem; {counts}",
        args.file.display()
    )?)
}
