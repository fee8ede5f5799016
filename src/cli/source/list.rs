//! `posthorn source list`.

use std::io::{self, Write};

use chrono::SecondsFormat;

use crate::cli::database::{DatabaseArgs, open, refusal};
use crate::model::OneLine;
use crate::model::source::word;
use crate::store::StoreError;
use crate::store::sources::{Comparison, Listed, last_comparisons, list};

/// Shows the sources as the commands that make them, and what is amiss: columns that are
/// gone, partitions without triggers, changes that became no event.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let pool = open(&args.database.url()?, 1).await?;
    let found = async { Ok((list(&pool).await?, last_comparisons(&pool).await?)) }.await;
    pool.close().await;
    let (listed, comparisons) = found.map_err(|error: StoreError| refusal(&error))?;
    let said = if listed.is_empty() {
        "there are no sources; `posthorn source attach` makes one\n".to_owned()
    } else {
        listed
            .iter()
            .map(|listed| describe(listed, comparisons.get(&listed.source.name)))
            .collect()
    };
    Ok(io::stdout().write_all(said.as_bytes())?)
}

/// Lines of text; what is amiss begins with an exclamation mark.
fn describe(listed: &Listed, comparison: Option<&Comparison>) -> String {
    let title = match &listed.table {
        Some(table) => title(listed, table),
        None => OneLine(&listed.source.name).to_string(),
    };
    let problems = listed
        .problems()
        .into_iter()
        .chain(failures(listed))
        .chain(differences(&listed.source.name, comparison));
    let problems: String = problems
        .flat_map(|problem| {
            [
                "  ! ".to_owned(),
                OneLine(&problem).to_string(),
                "\n".to_owned(),
            ]
        })
        .collect();
    format!("{title}\n{}{problems}", compared(listed, comparison))
}

/// How its table stands beside its events, where it is compared.
fn compared(listed: &Listed, comparison: Option<&Comparison>) -> String {
    match comparison {
        _ if listed.source.compare.is_none() => String::new(),
        None => "  not compared with its events yet\n".to_owned(),
        Some(Comparison {
            refused: Some(_), ..
        }) => String::new(),
        Some(found) => format!(
            "  compared with its events at {}: {} rows; {} have no event and may be older than the source or the events that \
             are kept; {} are left untold\n",
            found.started_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            found.rows,
            found.unjudged,
            found.muted,
        ),
    }
}

fn differences(name: &str, comparison: Option<&Comparison>) -> Vec<String> {
    let Some(found) = comparison else {
        return vec![];
    };
    let refused = found
        .refused
        .iter()
        .map(|why| format!("it cannot be compared with its events: {why}"));
    let differing = (found.differing > 0).then(|| {
        format!(
            "rows whose status was not told: {}; `posthorn source compare {}` shows them, and posthorn.source_differences",
            found.differing,
            word(name)
        )
    });
    refused.chain(differing).collect()
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
