//! `posthorn source detach`.

use std::io::{self, Write};

use super::{explain, runnable};
use crate::cli::database::{DatabaseArgs, open};
use crate::store::sources::{detach, plan_detachment};

/// Takes the triggers of a source away. Its events stay, and are delivered.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The name of a source, or a table with its schema, of which all sources are detached
    #[arg(value_name = "SOURCE|TABLE")]
    pub which: String,

    /// Print the SQL instead of running it
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let pool = open(&args.database.url()?, 1).await?;
    let said = if args.dry_run {
        plan_detachment(&pool, &args.which)
            .await
            .map(|scripts| scripts.iter().map(|(_, script)| runnable(script)).collect())
    } else {
        detach(&pool, &args.which)
            .await
            .map(|names| format!("detached {}; the events stay\n", names.join(" and ")))
    };
    pool.close().await;
    let said = said.map_err(|error| explain(&error))?;
    Ok(io::stdout().write_all(said.as_bytes())?)
}
