//! `posthorn config export`: the tables as a file.

use std::io::{self, Write};

use super::words;
use crate::cli::database::{DatabaseArgs, open, refusal};
use crate::model::declaration::{Entry, Owner};
use crate::store::declared::load_stored;

/// Prints the profiles, locks and subscriptions of the database as a configuration file,
/// URLs whole but for a user name and a password. Secrets are references there and here.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Only what people manage by SQL, what any file manages, or what the file of one owner does
    #[arg(long, value_name = "sql|file|file:OWNER", value_parser = managed_by)]
    pub managed_by: Option<Owner>,
}

fn managed_by(text: &str) -> Result<Owner, String> {
    match Owner::parse(text) {
        Some(owner) if owner != Owner::Builtin => Ok(owner),
        _ => Err("give sql, file or file:OWNER".to_owned()),
    }
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let pool = open(&args.database.url()?, 1).await?;
    let stored = match pool.begin().await {
        Ok(mut transaction) => load_stored(&mut transaction).await,
        Err(error) => Err(error),
    };
    pool.close().await;
    let stored = stored.map_err(|error| refusal(&error))?;
    let wanted = |owner: &Owner| match &args.managed_by {
        None => *owner != Owner::Builtin,
        Some(Owner::File(None)) => matches!(owner, Owner::File(_)),
        Some(one) => owner == one,
    };
    let mut entries: Vec<Entry> = stored
        .into_iter()
        .filter(|row| wanted(&row.owner))
        .map(|row| row.entry)
        .collect();
    entries.sort_by_key(|entry| (entry.kind, entry.name()));
    let owner = match &args.managed_by {
        Some(Owner::File(Some(name))) => line("owner", &name.clone().into()) + "\n",
        _ => String::new(),
    };
    Ok(write!(io::stdout(), "{owner}{}", file_of(&entries))?)
}

/// A section for each entry, its keys in the order of the documentation.
fn file_of(entries: &[Entry]) -> String {
    let sections: Vec<String> = entries.iter().map(section_of).collect();
    sections.join("\n")
}

/// The section of one entry.
pub(super) fn section_of(entry: &Entry) -> String {
    let names = entry.kind.identity().iter().copied();
    let lines = names.chain(entry.keys()).filter_map(|key| {
        let value = words::without_credentials(key, &entry.to_toml(key)?);
        Some(line(key, &value))
    });
    format!(
        "[[{}]]\n{}",
        entry.kind.section(),
        lines.collect::<String>()
    )
}

/// Inline, also where the value is a table: a table of its own would end the section.
fn line(key: &str, value: &toml::Value) -> String {
    format!("{key} = {value}\n")
}
