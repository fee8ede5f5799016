//! `posthorn token`: the tokens with which merchants ask the gateway.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{anyhow, bail};
use secrecy::ExposeSecret;

use super::database::{DatabaseArgs, refusal};
use crate::store::tokens::{issue_api_token, revoke_api_token};
use crate::store::{StoreError, connect};

/// Issues and revokes the API tokens of merchants.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Prints a new token, this one time: only its hash is kept
    Issue(IssueArgs),
    /// Makes a token useless, within moments
    Revoke(NamedArgs),
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    #[command(flatten)]
    named: NamedArgs,

    /// How long it is good, such as `90days`; without it, until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    lifetime: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct NamedArgs {
    /// Whose events it reads
    #[arg(long)]
    merchant: String,

    /// What people call it; unique within the merchant
    #[arg(long)]
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Issue(IssueArgs { named, lifetime }) => {
            let pool = connect(&named.database.url()?, 1)?;
            let issued = issue_api_token(&pool, &named.merchant, &named.name, lifetime).await;
            pool.close().await;
            let token = issued.map_err(|error| match &error {
                StoreError::Database(sqlx::Error::Database(cause))
                    if cause.is_unique_violation() =>
                {
                    anyhow!("the merchant has a token of this name already; give another name")
                }
                _ => refusal(&error),
            })?;
            writeln!(io::stdout(), "{}", token.expose_secret())?;
        }
        Command::Revoke(named) => {
            let pool = connect(&named.database.url()?, 1)?;
            let revoked = revoke_api_token(&pool, &named.merchant, &named.name).await;
            pool.close().await;
            if !revoked.map_err(|error| refusal(&error))? {
                bail!("the merchant has no token of this name that is not revoked");
            }
            writeln!(io::stdout(), "revoked")?;
        }
    }
    Ok(())
}
