//! `posthorn secrets new-key`.

use std::io::{self, Write};

use anyhow::anyhow;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;

use crate::vault::new_key;

/// Prints a new key for [secrets] keys: 32 random bytes in base64. Keep it where the
/// database's backups are not.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_: Args) -> anyhow::Result<()> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new()
        .fill(&mut *bytes)
        .map_err(|_| anyhow!("the system gives no random bytes"))?;
    let key = new_key(&bytes);
    Ok(writeln!(io::stdout(), "{}", key.expose_secret())?)
}
