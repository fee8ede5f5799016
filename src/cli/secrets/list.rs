//! `posthorn secrets list`.

use std::io::{self, Write};

use crate::cli::database::{DatabaseArgs, open, refusal};
use crate::cli::table::Table;
use crate::store::secrets::list_secrets;

/// Lists the secrets: whose, their names, the key that encrypts each, and when it was set.
/// Their values are not shown.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this merchant's
    merchant: Option<String>,

    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let pool = open(&args.database.url()?, 1).await?;
    let listed = list_secrets(&pool, args.merchant.as_deref()).await;
    pool.close().await;
    let listed = listed.map_err(|error| refusal(&error))?;
    let mut table = Table::new(["merchant", "name", "key", "set at"]);
    for secret in listed {
        table.push([
            secret.merchant,
            secret.name,
            secret.key_id,
            secret.changed_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        ]);
    }
    Ok(io::stdout().write_all(table.text("").as_bytes())?)
}
