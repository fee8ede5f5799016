//! `posthorn secrets`: credentials that are kept in the database, encrypted.

mod list;
mod new_key;
mod rekey;
mod remove;
mod set;

use std::convert::Infallible;
use std::process::{ExitCode, Termination};

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use super::database::{self, DatabaseArgs};
use crate::config::Secrets;
use crate::model::secret::SecretRef;
use crate::store::Pool;
use crate::vault::Keyring;

/// Keeps credentials in the database, encrypted with a key that is not there. The settings
/// of a subscription name one of its merchant as `secret:NAME`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    NewKey(new_key::Args),
    Set(set::Args),
    List(list::Args),
    Remove(remove::Args),
    Rekey(rekey::Args),
}

pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    Ok(match command {
        Command::NewKey(args) => new_key::run(args)?.report(),
        Command::Set(args) => set::run(args).await?.report(),
        Command::List(args) => list::run(args).await?.report(),
        Command::Remove(args) => remove::run(args).await?.report(),
        Command::Rekey(args) => rekey::run(args).await?,
    })
}

/// A database, and the keys for its secrets.
#[derive(Debug, clap::Args)]
pub struct VaultArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Where a key is, `env:NAME` or `file:PATH`; may be given again, and the first one
    /// encrypts. Default: the keys of `--config`, or without it `env:POSTHORN_KEY`
    // Not a `SecretRef`: clap would show what cannot be one, which may be a key.
    #[arg(long = "key", value_name = "REF", value_parser = secret, conflicts_with = "config")]
    keys: Vec<SecretString>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap's parsers may fail")]
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.into())
}

impl VaultArgs {
    async fn open(self) -> anyhow::Result<(Pool, Keyring)> {
        let config = self.database.load()?;
        let keyring = match &config {
            Some(config) => config.secrets.keyring()?,
            None => Secrets {
                keys: self.key_references()?,
            }
            .keyring()
            .context("give --config or --key")?,
        };
        // What has no key can do nothing here.
        keyring.first_id()?;
        let url = database::url(self.database.database_url, config.as_ref())?;
        Ok((database::open(&url, 1).await?, keyring))
    }

    fn key_references(&self) -> anyhow::Result<Vec<SecretRef>> {
        if self.keys.is_empty() {
            return Ok(vec![SecretRef::Env("POSTHORN_KEY".to_owned())]);
        }
        let references = self.keys.iter().map(|text| {
            SecretRef::parse_outside(text.expose_secret())
                .context("--key does not say where the key is; give env:NAME or file:PATH")
        });
        references.collect()
    }
}
