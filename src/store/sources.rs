//! Sources: tables of the provider's whose changes of status become events, by triggers
//! in the transaction that makes the change (docs/decisions/0014-statement-triggers.md).

mod expressions;
mod function;
mod listed;
mod quote;
mod script;
mod table;

use crate::store::Pool;
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::model::Source;
use crate::model::source::{Data, On};
use expressions::{check_expressions, may_be_read};
use table::{Table, find_table};

pub use listed::{Failures, Listed, count_failures, list};

#[derive(Debug, thiserror::Error)]
pub enum SourceFailed {
    #[error(
        "the database has no table {0:?}; give it as SQL would have it: schema.table, in double quotes where a name has capitals"
    )]
    NoTable(String),
    /// The table, and what it is with the remedy.
    #[error("{0} {1}")]
    NotATable(String, String),
    #[error("{option} {column}: {table} has no such column; it has {columns}")]
    NoColumn {
        option: &'static str,
        column: String,
        table: String,
        columns: String,
    },
    #[error("{option}: {why}")]
    Expression { option: &'static str, why: String },
    #[error("the source {name} is attached to {table}; choose another name for this one by --name")]
    NameTaken { name: String, table: String },
    #[error(
        "{0} is locked by a transaction that does not end within a second; try again when it has"
    )]
    Locked(String),
    #[error("there is no source of the name or the table {0:?}; `posthorn source list` shows them")]
    NoSource(String),
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
}

impl SourceFailed {
    fn expression(option: &'static str, error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(told) => Self::Expression {
                option,
                why: format!(
                    "{}; write SQL over the rows new and old, such as new.amount > 0",
                    told.message()
                ),
            },
            None => Self::Database(error),
        }
    }
}

/// SQL for one transaction, and whose tables it locks.
#[derive(Debug)]
pub struct Script {
    pub sql: String,
    /// Quoted; the table first, then its partitions.
    pub tables: Vec<String>,
}

/// Makes a table a source, or gives a source new settings; in the same transaction the
/// table and its partitions get their triggers.
pub async fn attach(pool: &Pool, source: &Source, table: &str) -> Result<Script, SourceFailed> {
    let mut connection = pool.acquire().await?;
    let script = plan_attachment(&mut connection, source, table).await?;
    run(&mut connection, &script).await?;
    Ok(script)
}

/// What [`attach`] would run; changes nothing.
pub async fn plan_attachment(
    connection: &mut PgConnection,
    source: &Source,
    table: &str,
) -> Result<Script, SourceFailed> {
    let table = find_table(connection, table).await?;
    table.has_columns_of(source)?;
    let before = listens_to(connection, &source.name, &table).await?;
    let columns = columns_read(connection, source, &table).await?;
    Ok(Script {
        sql: script::attach(source, &table, &columns, before),
        tables: table.members,
    })
}

/// Takes a source's triggers and its function away; its events stay. `which` is its name,
/// or a table, of which all sources are detached. Returns their names.
pub async fn detach(pool: &Pool, which: &str) -> Result<Vec<String>, SourceFailed> {
    let mut connection = pool.acquire().await?;
    let mut detached = vec![];
    for (name, script) in plan_detachment(&mut connection, which).await? {
        run(&mut connection, &script).await?;
        detached.push(name);
    }
    Ok(detached)
}

/// What [`detach`] would run, by the sources' names; changes nothing.
pub async fn plan_detachment(
    connection: &mut PgConnection,
    which: &str,
) -> Result<Vec<(String, Script)>, SourceFailed> {
    let names = sqlx::query_scalar!(
        "SELECT s.name FROM posthorn.sources s
          WHERE s.name = $1
             OR s.relation = to_regclass($1) AND NOT EXISTS (SELECT FROM posthorn.sources n WHERE n.name = $1)
          ORDER BY s.name",
        which
    )
    .fetch_all(&mut *connection)
    .await?;
    if names.is_empty() {
        return Err(SourceFailed::NoSource(which.to_owned()));
    }
    let mut scripts = vec![];
    for name in names {
        // The triggers that there are, wherever: the table may have another name by now,
        // or be no more.
        let triggers: Vec<(String, String)> = sqlx::query!(
            r#"
            SELECT quote_ident(t.tgname) AS "trigger!", format('%I.%I', n.nspname, c.relname) AS "table!"
              FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE t.tgfoid = to_regprocedure(format('posthorn.%I()', 'source_' || $1::text))
                OR t.tgfoid = 'posthorn.append_source_rows()'::regprocedure
                   AND t.tgargs = convert_to($1::text, getdatabaseencoding()) || '\x00'
             ORDER BY c.relispartition, 2, 1
            "#,
            name
        )
        .fetch_all(&mut *connection)
        .await?
        .into_iter()
        .map(|row| (row.trigger, row.table))
        .collect();
        let sql = script::detach(&name, &triggers);
        let tables = triggers.into_iter().map(|(_, table)| table).collect();
        scripts.push((name, Script { sql, tables }));
    }
    Ok(scripts)
}

/// The whole script or nothing of it.
async fn run(connection: &mut PgConnection, script: &Script) -> Result<(), SourceFailed> {
    let mut transaction = connection.begin().await?;
    // Safe: names and values in it are quoted, and its expressions are the operator's own.
    let ran = transaction
        .execute(sqlx::raw_sql(AssertSqlSafe(script.sql.clone())))
        .await;
    if let Err(error) = ran {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        return Err(match code.as_deref() {
            // lock_not_available
            Some("55P03") => SourceFailed::Locked(script.tables.join(" or ")),
            _ => SourceFailed::Database(error),
        });
    }
    Ok(transaction.commit().await?)
}

/// What the source of this name listens to so far, if it is this table's.
async fn listens_to(
    connection: &mut PgConnection,
    name: &str,
    table: &Table,
) -> Result<Option<On>, SourceFailed> {
    let known = sqlx::query!(
        r#"
        SELECT s.relation::oid AS "relation!: Oid", s.relation::text AS "table!", s.on_insert, s.on_update
          FROM posthorn.sources s JOIN pg_class c ON c.oid = s.relation
         WHERE s.name = $1
        "#,
        name
    )
    .fetch_optional(connection)
    .await?;
    match known {
        Some(known) if known.relation != table.oid => Err(SourceFailed::NameTaken {
            name: name.to_owned(),
            table: known.table,
        }),
        known => Ok(known.map(|known| On {
            insert: known.on_insert,
            update: known.on_update,
        })),
    }
}

/// Every column that the source names, each once.
async fn columns_read(
    connection: &mut PgConnection,
    source: &Source,
    table: &Table,
) -> Result<Vec<String>, SourceFailed> {
    let mut columns = table.key.clone();
    columns.extend([
        source.merchant.clone(),
        source.id.clone(),
        source.status.clone(),
    ]);
    if let Data::Columns(named) = &source.data {
        columns.extend(named.iter().cloned());
    }
    // Otherwise the first change of the table reads them, with the rights of whoever makes it.
    if may_be_read(connection).await? {
        columns.extend(check_expressions(connection, source, table).await?);
    }
    columns.sort();
    columns.dedup();
    Ok(columns)
}
