//! `posthorn source compare`.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use secrecy::SecretString;
use serde::Serialize;

use crate::cli::database::{DatabaseArgs, check, open, refusal, secret};
use crate::cli::failure::tell;
use crate::cli::json::lines;
use crate::cli::table::Table;
use crate::compare::{CompareFailed, Haste, MOST_DIFFERENCES, compare};
use crate::config::{DatabaseUrl, check_encoding};
use crate::model::OneLine;
use crate::store::Pool;
use crate::store::sources::{Comparison, Difference, StrangerFailed, find_comparable, list};

/// Compares the tables of sources with the events that were made of them, now, and shows the
/// rows whose status is not the one that was told last. Changes nothing. Exits with 1 where rows
/// differ, or a table cannot be compared.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The name of a source; all that are attached with --compare-as if not given
    pub name: Option<String>,

    /// The URL of the role of --compare-as; without it, `maintenance.compare_urls` of the file, or
    /// the environment variable `POSTHORN_COMPARE_URL`
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub compare_url: Option<SecretString>,

    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

const VARIABLE: &str = "POSTHORN_COMPARE_URL";

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let urls = args.compare_urls()?;
    let pool = open(&args.database.url()?, 2).await?;
    let name = args.name.as_deref();
    let sources = find_comparable(&pool, name).await;
    let sources = sources.map_err(|error| refusal(&error))?;
    if sources.is_empty() {
        bail!("{}", nothing_to_compare(&pool, name).await?);
    }
    let mut code = ExitCode::SUCCESS;
    for (name, source) in sources {
        let compared = match &source {
            Ok(source) => compare(&pool, &urls, source, Haste::Full)
                .await
                .map_err(|error| explain(&name, error)),
            Err(why) => Err(cannot(&name, why)),
        };
        match compared {
            Ok((found, differences)) => {
                if found.differing > 0 {
                    code = ExitCode::FAILURE;
                }
                let said = if args.json {
                    in_json(&name, &differences)?
                } else {
                    in_words(&name, &found, &differences)
                };
                io::stdout().write_all(said.as_bytes())?;
            }
            // The others are compared all the same.
            Err(error) => code = tell(&error),
        }
    }
    pool.close().await;
    Ok(code)
}

async fn nothing_to_compare(pool: &Pool, name: Option<&str>) -> anyhow::Result<String> {
    let known = list(pool).await.map_err(|error| refusal(&error))?;
    Ok(match name {
        Some(name) if !known.iter().any(|listed| listed.source.name == name) => {
            format!("there is no source of the name {name:?}; `posthorn source list` shows them")
        }
        _ => "no such source is attached with --compare-as ROLE, which lets a role read its table; `posthorn source list` \
              shows the command that attaches it"
            .to_owned(),
    })
}

impl Args {
    fn compare_urls(&self) -> anyhow::Result<Vec<SecretString>> {
        let of_the_file = self
            .database
            .load()?
            .map(|config| config.maintenance.compare_urls);
        let of_the_file = of_the_file.unwrap_or_default();
        let urls = match &self.compare_url {
            Some(url) => vec![url.clone()],
            None if !of_the_file.is_empty() => {
                let urls = of_the_file.iter().map(DatabaseUrl::read);
                urls.collect::<Result<_, _>>()?
            }
            None => match env::var(VARIABLE) {
                Ok(url) => vec![url.into()],
                Err(_) => bail!(
                    "the table is read by the role of --compare-as: give its URL by --compare-url, by maintenance.compare_urls \
                     of --config, or in {VARIABLE}"
                ),
            },
        };
        for url in &urls {
            check_encoding(url)?;
            check(url)?;
        }
        Ok(urls)
    }
}

fn cannot(name: &str, why: &str) -> anyhow::Error {
    anyhow!("the source {name} cannot be compared with its events: {why}")
}

fn explain(name: &str, error: CompareFailed) -> anyhow::Error {
    match error {
        CompareFailed::Table(StrangerFailed::Refused(why)) => cannot(name, &why),
        CompareFailed::Table(error) => anyhow!("the source {name} was not compared: {error}"),
        CompareFailed::Log(error) => refusal(&error),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    merchant: &'a str,
    transaction_id: &'a str,
    kind: &'a str,
    status: &'a str,
    told: Option<&'a str>,
}

fn in_json(name: &str, differences: &[Difference]) -> serde_json::Result<String> {
    lines(differences.iter().map(|row| Line {
        source: name,
        merchant: &row.merchant,
        transaction_id: &row.transaction_id,
        kind: &row.kind,
        status: &row.status,
        told: row.told.as_deref(),
    }))
}

fn in_words(name: &str, found: &Comparison, differences: &[Difference]) -> String {
    let mut table = Table::new(["MERCHANT", "TRANSACTION", "STATUS", "TOLD LAST"]);
    for row in differences {
        table.push([
            row.merchant.clone(),
            row.transaction_id.clone(),
            row.status.clone(),
            row.told.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let more = if differences.len() == MOST_DIFFERENCES {
        format!("  the first {MOST_DIFFERENCES} are shown\n")
    } else {
        String::new()
    };
    format!(
        "{}: {} rows compared, {} differ ({} have no event and may be older than the source or the events that are kept; {} are left \
         untold)\n{}{more}",
        OneLine(name),
        found.rows,
        found.differing,
        found.unjudged,
        found.muted,
        table.text("  ")
    )
}
