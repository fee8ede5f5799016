//! `posthorn source attach`.

use std::io::{self, Write};

use anyhow::bail;

use super::{explain, runnable};
use crate::cli::database::{DatabaseArgs, open};
use crate::model::Source;
use crate::model::source::{Compare, Data, Kind, On, OnFailure};
use crate::store::sources::{attach, plan_attachment};

/// Makes a table a source of events: from then on each change of its status column
/// appends one. Run it again to give the source other settings, or new partitions their
/// triggers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The table with its schema, such as shop.payments
    pub table: String,

    /// The column that says whose transaction it is
    #[arg(long, value_name = "COLUMN")]
    pub merchant: String,

    /// The column with the transaction's id, which travels unchanged
    #[arg(long, value_name = "COLUMN")]
    pub id: String,

    /// The column whose change makes an event
    #[arg(long, value_name = "COLUMN")]
    pub status: String,

    /// The kind of its events; the source's name if not given
    #[arg(long, value_name = "TEXT", conflicts_with = "kind_sql")]
    pub kind: Option<String>,

    /// The kind as an SQL expression, such as "'payment.' || new.status"
    #[arg(long, value_name = "SQL")]
    pub kind_sql: Option<String>,

    /// Columns that the event carries, in this order; all if not given. `id:text` carries a
    /// number as a JSON string, as JavaScript needs where it has more than 53 bits; `*` is all
    /// columns, as in "*,id:text"
    #[arg(
        long,
        value_name = "COLUMN,…",
        value_delimiter = ',',
        conflicts_with = "data_sql"
    )]
    pub data: Vec<String>,

    /// What the event carries as an SQL expression of type json or jsonb, such as
    /// `json_build_object('amount', new.amount)`
    #[arg(long, value_name = "SQL")]
    pub data_sql: Option<String>,

    /// Changes that count, as an SQL condition over the row as it is (new) and was (old,
    /// all NULL for an inserted one), such as "new.amount > 0"
    #[arg(long, value_name = "SQL")]
    pub when: Option<String>,

    /// What makes events: new rows, changed ones, or both
    #[arg(long, value_name = "CHANGE,…", value_delimiter = ',', value_enum,
          default_values_t = [Change::Insert, Change::Update])]
    pub on: Vec<Change>,

    /// What becomes of a change that cannot be made into an event: block makes its
    /// statement fail, record lets it go on and tells of it in `posthorn.source_failures`
    #[arg(long, value_name = "CHOICE", value_enum, default_value_t = Choice::Block)]
    pub on_failure: Choice,

    /// Let this database role read the columns that say what is to be told, so that the table is
    /// compared with the events each night: what no trigger saw is found. It has to be a role
    /// that has nothing of Posthorn's
    #[arg(long, value_name = "ROLE")]
    pub compare_as: Option<String>,

    /// The column of the time at which a row was made, such as `created_at`: with it, that
    /// comparison finds rows that have no event at all
    #[arg(long, value_name = "COLUMN", requires = "compare_as")]
    pub made_at: Option<String>,

    /// Of the source; the table's name without its schema if not given. A table with two
    /// statuses is two sources with names of their own
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Print the SQL instead of running it
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Change {
    Insert,
    Update,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    Block,
    Record,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let (source, table, dry_run) = (args.source()?, args.table, args.dry_run);
    let pool = open(&args.database.url()?, 1).await?;
    let done = if dry_run {
        plan_attachment(&pool, &source, &table).await
    } else {
        attach(&pool, &source, &table).await
    };
    pool.close().await;
    let script = done.map_err(|error| explain(&error))?;
    let notes = |before: &str| -> String {
        let lines = script.notes.iter();
        lines.flat_map(|note| [before, note, "\n"]).collect()
    };
    let said = if dry_run {
        notes("-- ") + &runnable(&script)
    } else {
        format!(
            "attached {} as {}: changes of {} become events\n{}",
            tables(&script.tables),
            source.name,
            source.status,
            notes("  note: ")
        )
    };
    Ok(io::stdout().write_all(said.as_bytes())?)
}

fn tables(tables: &[String]) -> String {
    match tables {
        [] => String::new(),
        [table] => table.clone(),
        [table, partitions @ ..] => format!("{table} and its partitions ({})", partitions.len()),
    }
}

impl Args {
    fn source(&self) -> anyhow::Result<Source> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => name_of(&self.table),
        };
        if !(1..=40).contains(&name.len()) {
            bail!(
                "the source's name {name:?} has {} bytes; give one of 1 to 40 by --name",
                name.len()
            );
        }
        let kind = match (&self.kind, &self.kind_sql) {
            (_, Some(sql)) => Kind::Sql(sql.clone()),
            (kind, None) => Kind::Text(kind.as_ref().unwrap_or(&name).clone()),
        };
        if let Kind::Text(text) = &kind
            && !(1..=1000).contains(&text.len())
        {
            bail!("--kind has {} bytes; give 1 to 1000", text.len());
        }
        if self.made_at.is_some() && !self.on.contains(&Change::Insert) {
            bail!(
                "--made-at finds rows that have no event, and with --on update alone a row needs none; leave one of them out"
            );
        }
        let (data, texts) = self.data()?;
        Ok(Source {
            name,
            merchant: self.merchant.clone(),
            id: self.id.clone(),
            status: self.status.clone(),
            kind,
            data,
            texts,
            when: self.when.clone(),
            on: On {
                insert: self.on.contains(&Change::Insert),
                update: self.on.contains(&Change::Update),
            },
            on_failure: match self.on_failure {
                Choice::Block => OnFailure::Block,
                Choice::Record => OnFailure::Record,
            },
            compare: self.compare_as.as_ref().map(|role| Compare {
                role: role.clone(),
                made_at: self.made_at.clone(),
            }),
        })
    }
}

impl Args {
    /// What travels, and which columns of it as text.
    fn data(&self) -> anyhow::Result<(Data, Vec<String>)> {
        if let Some(sql) = &self.data_sql {
            return Ok((Data::Sql(sql.clone()), vec![]));
        }
        let as_text = |entry: &&String| entry.ends_with(AS_TEXT);
        let name = |entry: &String| entry.strip_suffix(AS_TEXT).unwrap_or(entry).to_owned();
        let texts = self.data.iter().filter(as_text).map(name).collect();
        let whole_row = self.data.iter().any(|entry| entry == "*");
        if self.data.is_empty() {
            return Ok((Data::Row, texts));
        } else if !whole_row {
            return Ok((Data::Columns(self.data.iter().map(name).collect()), texts));
        }
        let twice = self
            .data
            .iter()
            .find(|entry| *entry != "*" && !as_text(entry));
        match twice {
            Some(entry) => {
                bail!("--data {entry}: * has it already; leave it out, or write {entry}:text")
            }
            None => Ok((Data::Row, texts)),
        }
    }
}

/// After a column's name in `--data`.
const AS_TEXT: &str = ":text";

/// The last part of a table's name, without quotes.
fn name_of(table: &str) -> String {
    let mut quoted = false;
    let mut name = String::new();
    for c in table.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => name.clear(),
            c if quoted => name.push(c),
            c => name.extend(c.to_lowercase()),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_source_has_the_name_of_its_table() {
        for (table, name) in [
            ("payments", "payments"),
            ("shop.Payments", "payments"),
            (r#""My.Shop"."Order Items""#, "Order Items"),
        ] {
            assert_eq!(name_of(table), name);
        }
    }
}
