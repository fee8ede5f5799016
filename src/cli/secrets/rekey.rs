//! `posthorn secrets rekey`.

use std::io::{self, Write};
use std::process::ExitCode;

use uuid::Uuid;

use super::VaultArgs;
use crate::cli::database::refusal;
use crate::model::secret::SecretError;
use crate::store::rekey::{find_sealed_by_others, reseal_batch};
use crate::store::secrets::count_by_key;
use crate::store::{Pool, StoreError};
use crate::vault::{Keyring, Sealed, Stored};

/// Encrypts every secret anew with the first of the keys, while workers run. It can be
/// broken off and run again, and two at once do no harm. The exit code is 1 if a secret
/// could not be opened.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    vault: VaultArgs,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (pool, keys) = args.vault.open().await?;
    let done = rekey(&pool, &keys).await;
    pool.close().await;
    let Done {
        rekeyed,
        unopened,
        counts,
    } = done.map_err(|error| refusal(&error))?;
    let mut out = io::stdout();
    writeln!(out, "{rekeyed} secrets encrypted anew")?;
    for (key_id, secrets) in counts {
        writeln!(out, "key {key_id} encrypts {secrets}")?;
    }
    for said in &unopened {
        writeln!(out, "left as it is: {said}")?;
    }
    Ok(ExitCode::from(u8::from(!unopened.is_empty())))
}

struct Done {
    rekeyed: u64,
    /// Each with its merchant and the reason.
    unopened: Vec<String>,
    /// How many secrets each key encrypts now.
    counts: Vec<(String, i64)>,
}

async fn rekey(pool: &Pool, keys: &Keyring) -> Result<Done, StoreError> {
    // `VaultArgs::open` has seen to it that there is one.
    let first = keys.first_id().unwrap_or_default();
    let mut done = Done {
        rekeyed: 0,
        unopened: Vec::new(),
        counts: Vec::new(),
    };
    let mut after = Uuid::nil();
    loop {
        let ids = find_sealed_by_others(pool, first, after).await?;
        let Some(last) = ids.last() else {
            break;
        };
        after = *last;
        done.rekeyed += reseal_batch(pool, first, &ids, |stored| {
            reseal(keys, stored)
                .map_err(|error| done.unopened.push(format!("{}: {error}", stored.merchant)))
                .ok()
        })
        .await?;
    }
    done.counts = count_by_key(pool).await?;
    Ok(done)
}

fn reseal(keys: &Keyring, stored: &Stored) -> Result<Sealed, SecretError> {
    let secret = keys.open(stored.place(), &stored.sealed)?;
    // What was sealed once is not too large, and there is a key.
    keys.seal(stored.place(), &secret, rand::random())
        .map_err(|_| SecretError::Tampered(stored.name.clone()))
}
