//! `posthorn secrets list`.

use std::io::{self, Write};

use crate::cli::database::{DatabaseArgs, refusal};
use crate::store::connect;
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
    let pool = connect(&args.database.url()?, 1)?;
    let listed = list_secrets(&pool, args.merchant.as_deref()).await;
    pool.close().await;
    let listed = listed.map_err(|error| refusal(&error))?;
    let width = |head: &str, of: fn(&crate::store::secrets::Listed) -> &str| {
        let widths = listed.iter().map(|secret| of(secret).chars().count());
        widths.chain([head.len()]).max().unwrap_or(0)
    };
    let merchants = width("merchant", |secret| &secret.merchant);
    let names = width("name", |secret| &secret.name);
    let mut out = io::stdout();
    writeln!(
        out,
        "{:merchants$}  {:names$}  {:16}  set at",
        "merchant", "name", "key"
    )?;
    for secret in &listed {
        writeln!(
            out,
            "{:merchants$}  {:names$}  {:16}  {}",
            secret.merchant,
            secret.name,
            secret.key_id,
            secret.changed_at.format("%Y-%m-%d %H:%M:%SZ")
        )?;
    }
    Ok(())
}
