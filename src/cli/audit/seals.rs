//! `posthorn audit --seals` and `--export-seals`.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow};

use crate::audit::difference::RowChange;
use crate::audit::seals::{Day, Finding, verify as verify_seals};
use crate::cli::database::refusal;
use crate::cli::json::lines;
use crate::model::seal::{RowKey, Seal};
use crate::store::Pool;
use crate::store::seals::list_seals;

/// A seal a line.
pub async fn export(pool: &Pool) -> anyhow::Result<ExitCode> {
    let seals = list_seals(pool).await.map_err(|error| refusal(&error))?;
    io::stdout().write_all(lines(seals)?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

pub async fn verify(pool: &Pool, against: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let exported = against.map(read).transpose()?.unwrap_or_default();
    let mut told = Ok(());
    let (mut days, mut findings) = (0_u64, 0);
    let verified = verify_seals(pool, &exported, |day| {
        days += 1;
        findings += day.findings.len();
        if told.is_ok() {
            told = tell(day, json);
        }
    });
    verified.await.map_err(|error| refusal(&error))?;
    told?;
    if !json {
        let mut out = io::stdout();
        match (days, findings) {
            (0, _) => writeln!(
                out,
                "no day is sealed yet; a worker seals each day an hour after its end"
            )?,
            (_, 0) => writeln!(out, "every sealed day is as it was sealed")?,
            _ => writeln!(out, "{findings} findings: records were changed")?,
        }
    }
    Ok(if findings == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(path: &Path) -> anyhow::Result<Vec<Seal>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let seals = lines.map(|(at, line)| {
        serde_json::from_str(line).map_err(|error| {
            anyhow!(
                "{}, line {}: not a seal ({error}); give a file that `posthorn audit --export-seals` wrote",
                path.display(),
                at + 1
            )
        })
    });
    seals.collect()
}

fn tell(day: &Day, json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if json {
        return out.write_all(lines([day])?.as_bytes());
    }
    let state = match (day.findings.len(), day.dropped) {
        (0, false) => "as sealed",
        (0, true) => "dropped by retention",
        _ => "CHANGED",
    };
    let Day {
        deliveries,
        attempts,
        findings,
        ..
    } = day;
    writeln!(
        out,
        "{}  {deliveries} deliveries, {attempts} attempts: {state}",
        day.day
    )?;
    findings
        .iter()
        .try_for_each(|finding| out.write_all(describe(finding).as_bytes()))
}

/// Lines of text; the first begins with an exclamation mark.
fn describe(finding: &Finding) -> String {
    match finding {
        Finding::BrokenChain => "  ! the seal does not fit the rows of posthorn.seals\n".to_owned(),
        Finding::NoBeginning => "  ! the seals before this one are gone\n".to_owned(),
        Finding::NotAsExported => "  ! the seal is not the one that was exported\n".to_owned(),
        Finding::AlteredSlices { records } => {
            format!(
                "  ! the slices of {records} in posthorn.seal_slices are not those of the seal\n"
            )
        }
        Finding::OlderThanSeals { records, event_id } => format!(
            "  ! {records} has a row of event {event_id} that says it is older than the first seal\n"
        ),
        Finding::Rows {
            records,
            minute,
            event_day,
            sealed,
            found,
            rows,
        } => {
            let mut text = format!(
                "  ! {records} written at {} of events of {event_day}: {sealed} rows were sealed, {found} are there\n",
                minute.format("%Y-%m-%d %H:%M")
            );
            for change in rows {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "    {}", in_words(change));
            }
            text
        }
    }
}

fn in_words(change: &RowChange) -> String {
    match change {
        RowChange::Altered { row } => format!("altered: {}", named(row)),
        RowChange::Added { row } => format!("added: {}", named(row)),
        RowChange::Removed { after, before } => {
            let edge = |row: &Option<RowKey>| row.as_ref().map_or("the end".to_owned(), named);
            format!("removed between {} and {}", edge(after), edge(before))
        }
    }
}

fn named(row: &RowKey) -> String {
    let RowKey {
        event_id,
        subscription_id,
        generation,
        number,
    } = row;
    let number = number.map_or_else(String::new, |number| format!(" number {number}"));
    format!("event {event_id} subscription {subscription_id} generation {generation}{number}")
}
