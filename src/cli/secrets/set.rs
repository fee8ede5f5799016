//! `posthorn secrets set`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::bail;
use secrecy::SecretSlice;

use super::VaultArgs;
use crate::cli::database::refusal;
use crate::config::secrets::{read, read_stdin};
use crate::model::secret::{SecretRef, is_name};
use crate::store::Pool;
use crate::store::secrets::{id_for_secret, put_secret};
use crate::vault::{Keyring, Place, Stored};

/// Others that make and remove the same secret in the same moment.
const TRIES: usize = 5;

/// Encrypts a credential of a merchant and writes it, in the place of its old value if there
/// is one. The value comes from standard input or a file; a line end at its end is left out.
/// Workers take it up within moments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose subscriptions may name it
    merchant: String,

    /// What they name it by, as `secret:NAME`; letters, digits, dots, hyphens and underscores
    name: String,

    /// The file that holds the value
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,

    #[command(flatten)]
    vault: VaultArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        merchant,
        name,
        file,
        vault,
    } = args;
    if merchant.is_empty() {
        bail!("the merchant is empty; give the one of the events");
    }
    if !is_name(&name) {
        bail!("the name is not one; give up to 128 letters, digits, dots, hyphens and underscores");
    }
    let (pool, keys) = vault.open().await?;
    let value = match file {
        Some(path) => read(&SecretRef::File(path))?,
        None if io::stdin().is_terminal() => {
            bail!("the terminal would show the value; pipe it in, or give --file PATH")
        }
        None => read_stdin()?,
    };
    let key_id = set(&pool, &keys, &merchant, &name, &value).await;
    pool.close().await;
    Ok(writeln!(
        io::stdout(),
        "secret:{name} of {merchant} is set, encrypted with key {}",
        key_id?
    )?)
}

async fn set(
    pool: &Pool,
    keys: &Keyring,
    merchant: &str,
    name: &str,
    value: &SecretSlice<u8>,
) -> anyhow::Result<String> {
    for _ in 0..TRIES {
        let id = id_for_secret(pool, merchant, name)
            .await
            .map_err(|error| refusal(&error))?;
        let place = Place { id, merchant, name };
        let sealed = keys.seal(place, value, rand::random())?;
        let key_id = sealed.key_id.clone();
        let secret = Stored {
            id,
            merchant: merchant.to_owned(),
            name: name.to_owned(),
            sealed,
        };
        if put_secret(pool, &secret)
            .await
            .map_err(|error| refusal(&error))?
        {
            return Ok(key_id);
        }
    }
    bail!("others set and remove this secret all the time; try again")
}
