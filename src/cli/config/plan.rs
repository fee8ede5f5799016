//! `posthorn config plan`: what applying a file would change, in words.

use std::io::{self, Write};

use super::database::{FileArgs, explained};
use super::words;
use crate::store::declared::plan_declared;

/// Shows what applying a file would change. Writes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub from: FileArgs,

    /// Counts rows that SQL manages as the file's
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
    let planned = plan_declared(&pool, &declared, args.take_over).await;
    pool.close().await;
    let changes = planned.map_err(|error| explained(&file, &error))?;
    Ok(write!(
        io::stdout(),
        "{}",
        words::changes(&changes, words::Tense::Future)
    )?)
}
