//! `posthorn source list`.

use std::io::{self, Write};

use anyhow::anyhow;
use chrono::SecondsFormat;

use crate::cli::database::{self, DatabaseArgs};
use crate::model::Source;
use crate::model::source::{Data, Kind, On, OnFailure};
use crate::store::sources::{Listed, list};
use crate::store::{StoreError, connect};

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
    let listed = listed.map_err(|error| {
        let remedy = match &error {
            StoreError::Database(error) => database::remedy(error),
            StoreError::Stalled(_) | StoreError::Unreadable(_) => "",
        };
        anyhow!("{error}{remedy}")
    })?;
    let said = if listed.is_empty() {
        "there are no sources; `posthorn source attach` makes one\n".to_owned()
    } else {
        listed.iter().map(describe).collect()
    };
    Ok(io::stdout().write_all(said.as_bytes())?)
}

fn describe(listed: &Listed) -> String {
    let Listed {
        source,
        table,
        partitions,
        ..
    } = listed;
    let name = &source.name;
    let Some(table) = table else {
        return format!(
            "{name}: its table was dropped; run `posthorn source detach {}`\n{}",
            word(name),
            failures(listed)
        );
    };
    let mut said = format!("{name}: {table}");
    if *partitions > 0 {
        said += &format!(" and its partitions ({partitions})");
    }
    said += &format!("\n  {}\n", command(source, table));
    if let Some(columns) = &listed.missing_columns {
        said += &format!(
            "  ! {table} has no column {columns} any more: its changes {}; attach it again with columns that it has\n",
            match source.on_failure {
                OnFailure::Block => "fail",
                OnFailure::Record => "make no events",
            }
        );
    }
    for silent in &listed.silent {
        said += &format!(
            "  ! {silent} lacks a trigger, or it is switched off: statements that name it make no events; \
             run the command above again\n"
        );
    }
    said + &failures(listed)
}

fn failures(listed: &Listed) -> String {
    let Some(failures) = &listed.failures else {
        return String::new();
    };
    format!(
        "  ! changes that became no event: {}, the last at {}: {}; see posthorn.source_failures\n",
        failures.count,
        failures.last_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        failures.last_reason
    )
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
        Data::Row => {}
        Data::Columns(columns) => option("data", &columns.join(",")),
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
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-,/".contains(c);
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
             --kind-sql ''\\''payment.'\\'' || new.status' --data id,amount --when 'new.amount > 0' \
             --on update --on-failure record --name payments"
        );
    }
}
