//! `posthorn token`: the tokens with which merchants ask the gateway.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{anyhow, bail};
use secrecy::ExposeSecret;

use super::database::{DatabaseArgs, open, refusal};
use super::json::lines;
use super::moment::shown;
use super::table::Table;
use crate::store::tokens::{Listed, issue_api_token, list_api_tokens, revoke_api_token};

/// Issues, lists and revokes the API tokens of merchants.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Prints a new token, this one time: only its hash is kept
    Issue(IssueArgs),
    /// Lists the tokens: whose they are, since when and until when; their texts are kept nowhere
    List(ListArgs),
    /// Makes a token useless, within moments
    Revoke(NamedArgs),
}

#[derive(Debug, clap::Args)]
pub struct IssueArgs {
    #[command(flatten)]
    named: NamedArgs,

    /// How long it is good, such as `90days`; without it, until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    lifetime: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only this merchant's
    #[arg(long)]
    merchant: Option<String>,

    /// One JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, clap::Args)]
pub struct NamedArgs {
    /// Whose events it reads
    #[arg(long)]
    merchant: String,

    /// What people call it; unique within the merchant
    #[arg(long)]
    name: String,

    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Issue(IssueArgs { named, lifetime }) => {
            let pool = open(&named.database.url()?, 1).await?;
            let issued = issue_api_token(&pool, &named.merchant, &named.name, lifetime).await;
            pool.close().await;
            let token = issued.map_err(|error| match &error {
                error if error.is_repetition() => {
                    anyhow!("the merchant has a token of this name already; give another name")
                }
                _ => refusal(&error),
            })?;
            writeln!(io::stdout(), "{}", token.expose_secret())?;
        }
        Command::List(args) => {
            let pool = open(&args.database.url()?, 1).await?;
            let listed = list_api_tokens(&pool, args.merchant.as_deref()).await;
            pool.close().await;
            let listed = listed.map_err(|error| refusal(&error))?;
            let said = if args.json {
                lines(&listed)?
            } else {
                table(&listed)
            };
            io::stdout().write_all(said.as_bytes())?;
        }
        Command::Revoke(named) => {
            let pool = open(&named.database.url()?, 1).await?;
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

fn table(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "there are no tokens; `posthorn token issue` makes one\n".to_owned();
    }
    let mut table = Table::new(["MERCHANT", "NAME", "STATE", "ISSUED", "EXPIRES"]);
    for token in listed {
        table.push([
            token.merchant.clone(),
            token.name.clone(),
            token.state.clone(),
            shown(token.created_at),
            token.expires_at.map_or("never".to_owned(), shown),
        ]);
    }
    table.text("")
}
