//! `posthorn secrets remove`.

use std::io::{self, Write};

use anyhow::{anyhow, bail};

use crate::cli::database::{DatabaseArgs, open, refusal};
use crate::store::secrets::{RemoveFailed, remove_secret};

/// Removes a secret that no subscription of its merchant names any more.
#[derive(Debug, clap::Args)]
pub struct Args {
    merchant: String,

    name: String,

    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        merchant,
        name,
        database,
    } = args;
    let pool = open(&database.url()?, 1).await?;
    let removed = remove_secret(&pool, &merchant, &name).await;
    pool.close().await;
    match removed {
        Ok(true) => Ok(writeln!(
            io::stdout(),
            "secret:{name} of {merchant} is removed"
        )?),
        Ok(false) => bail!("{merchant} has no secret {name}; see `posthorn secrets list`"),
        Err(RemoveFailed::Store(error)) => Err(refusal(&error)),
        Err(named @ RemoveFailed::Named(_)) => Err(anyhow!("{named}")),
    }
}
