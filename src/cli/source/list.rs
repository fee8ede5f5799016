//! `posthorn source list`.

use std::io::{self, Write};

use chrono::SecondsFormat;

use crate::cli::database::{DatabaseArgs, open, refusal};
use crate::model::OneLine;
use crate::store::sources::{Listed, list};

/// Shows the sources as the commands that make them, and what is amiss: columns that are
/// gone, partitions without triggers, changes that became no event.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let pool = open(&args.database.url()?, 1).await?;
    let listed = list(&pool).await;
    pool.close().await;
    let listed = listed.map_err(|error| refusal(&error))?;
    let said = if listed.is_empty() {
        "there are no sources; `posthorn source attach` makes one\n".to_owned()
    } else {
        listed.iter().map(describe).collect()
    };
    Ok(io::stdout().write_all(said.as_bytes())?)
}

/// Lines of text; what is amiss begins with an exclamation mark.
fn describe(listed: &Listed) -> String {
    let title = match &listed.table {
        Some(table) => title(listed, table),
        None => OneLine(&listed.source.name).to_string(),
    };
    let problems = listed.problems().into_iter().chain(failures(listed));
    let problems: String = problems
        .flat_map(|problem| {
            [
                "  ! ".to_owned(),
                OneLine(&problem).to_string(),
                "\n".to_owned(),
            ]
        })
        .collect();
    format!("{title}\n{problems}")
}

fn title(listed: &Listed, table: &str) -> String {
    let partitions = match listed.partitions {
        0 => String::new(),
        partitions => format!(" and its partitions ({partitions})"),
    };
    format!(
        "{}: {}{partitions}\n  {}",
        OneLine(&listed.source.name),
        OneLine(table),
        listed.source.command(table)
    )
}

fn failures(listed: &Listed) -> Option<String> {
    let failures = listed.failures.as_ref()?;
    Some(format!(
        "changes that became no event: {}, the last at {}: {}; see posthorn.source_failures",
        failures.count,
        failures.last_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        failures.last_reason
    ))
}
