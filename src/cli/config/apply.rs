//! `posthorn config apply`: makes a file's profiles, locks and subscriptions take effect.

use std::io::{self, Write};

use super::database::{FileArgs, explained};
use super::words;
use crate::store::declared::apply_declared;

/// Makes a file's profiles, locks and subscriptions take effect, in one transaction.
/// Workers notice by themselves.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub from: FileArgs,

    /// Makes rows that SQL manages the file's, where both have the name
    #[arg(long)]
    pub take_over: bool,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let file = args.from.file.clone();
    let (config, pool) = args.from.load()?;
    let declared = config.declare();
    if declared.is_empty() {
        return Ok(writeln!(
            io::stdout(),
            "{}",
            words::nothing_declared(&file)
        )?);
    }
    let applied = apply_declared(&pool, &declared, args.take_over).await;
    pool.close().await;
    let changes = applied.map_err(|error| explained(&file, &error))?;
    Ok(write!(
        io::stdout(),
        "{}",
        words::changes(&changes, words::Tense::Past)
    )?)
}
