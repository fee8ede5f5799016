//! `posthorn source list`.

use std::io::{self, Write};

use chrono::SecondsFormat;

use crate::cli::database::{DatabaseArgs, refusal};
use crate::model::Source;
use crate::model::source::{Data, Kind, On, OnFailure};
use crate::store::connect;
use crate::store::sources::{Listed, list};

/// Shows the sources as the commands that make them, and what is amiss: columns that are
/// gone, partitions without triggers, changes that became no event.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let pool = connect(&args.database.url()?, 1)?;
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
    let (title, problems) = match &listed.table {
        Some(table) => (title(listed, table), problems(listed, table)),
        None => (listed.source.name.clone(), vec![dropped(&listed.source)]),
    };
    let problems = problems.into_iter().chain(failures(listed));
    let problems: String = problems
        .flat_map(|problem| ["  ! ".to_owned(), problem, "\n".to_owned()])
        .collect();
    format!("{title}\n{problems}")
}

fn title(listed: &Listed, table: &str) -> String {
    let partitions = match listed.partitions {
        0 => String::new(),
        partitions => format!(" and its partitions ({partitions})"),
    };
    format!(
        "{}: {table}{partitions}\n  {}",
        listed.source.name,
        command(&listed.source, table)
    )
}

fn dropped(source: &Source) -> String {
    format!(
        "its table was dropped; run `posthorn source detach {}`",
        word(&source.name)
    )
}

fn problems(listed: &Listed, table: &str) -> Vec<String> {
    let fate = match listed.source.on_failure {
        OnFailure::Block => "fail",
        OnFailure::Record => "make no events",
    };
    let missing = listed.missing_columns.iter().map(|columns| {
        format!(
            "{table} has no column {columns} any more: its changes {fate}; attach it again with columns that it has"
        )
    });
    let silent = listed.silent.iter().map(|silent| {
        format!(
            "{silent} lacks a trigger, or it is switched off: statements that name it make no events; \
             run the command above again"
        )
    });
    missing.chain(silent).collect()
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

/// The command that makes the source as it is.
fn command(source: &Source, table: &str) -> String {
    let mut words = vec!["posthorn source attach".to_owned(), word(table)];
    let mut option = |name: &str, value: &str| words.push(format!("--{name} {}", word(value)));
    option("merchant", &source.merchant);
    option("id", &source.id);
    option("status", &source.status);
    match &source.kind {
        Kind::Text(text) => option("kind", text),
        Kind::Sql(sql) => option("kind-sql", sql),
    }
    match &source.data {
        Data::Row if source.texts.is_empty() => {}
        Data::Row => {
            let texts: String = source
                .texts
                .iter()
                .map(|name| format!(",{name}:text"))
                .collect();
            option("data", &format!("*{texts}"));
        }
        Data::Columns(columns) => {
            let entry = |name: &String| {
                let text = if source.texts.contains(name) {
                    ":text"
                } else {
                    ""
                };
                format!("{name}{text}")
            };
            let entries: Vec<String> = columns.iter().map(entry).collect();
            option("data", &entries.join(","));
        }
        Data::Sql(sql) => option("data-sql", sql),
    }
    if let Some(when) = &source.when {
        option("when", when);
    }
    match source.on {
        On {
            insert: true,
            update: true,
        } => {}
        On { insert: true, .. } => option("on", "insert"),
        On { .. } => option("on", "update"),
    }
    option("on-failure", source.on_failure.as_str());
    option("name", &source.name);
    words.join(" ")
}

/// As a shell takes it for one word.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-,/:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_run_by_a_shell() {
        let source = Source {
            name: "payments".to_owned(),
            merchant: "merchant_id".to_owned(),
            id: "id".to_owned(),
            status: "status".to_owned(),
            kind: Kind::Sql("'payment.' || new.status".to_owned()),
            data: Data::Columns(vec!["id".to_owned(), "amount".to_owned()]),
            texts: vec!["id".to_owned()],
            when: Some("new.amount > 0".to_owned()),
            on: On {
                insert: false,
                update: true,
            },
            on_failure: OnFailure::Record,
        };
        assert_eq!(
            command(&source, "shop.\"Payments\""),
            "posthorn source attach 'shop.\"Payments\"' --merchant merchant_id --id id --status status \
             --kind-sql ''\\''payment.'\\'' || new.status' --data id:text,amount --when 'new.amount > 0' \
             --on update --on-failure record --name payments"
        );
    }
}
