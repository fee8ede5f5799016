//! Sources: tables of the provider's whose changes of status become events, by triggers
//! in the transaction that makes the change (docs/decisions/0014-statement-triggers.md).

mod comparable;
mod comparisons;
mod expressions;
mod extensions;
mod function;
mod listed;
mod notes;
mod problems;
mod quote;
mod rights;
mod script;
mod session;
mod stranger;
mod table;
mod values;

use crate::store::{Pool, StoreError};
use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::model::Source;
use crate::model::source::{Data, On};
use expressions::{may_be_read, read_expressions};
use extensions::refuse_unread;
use notes::notes;
use rights::missing_grants;
use table::{Table, find_table, no_name};

pub use comparable::{Comparable, Expected, find_comparable};
pub use comparisons::{
    Comparison, Difference, Told, compared_since, find_told, last_comparisons, record_comparison,
    record_refusal,
};
pub use listed::{Failures, Listed, count_failures, list, silencing_settings};
pub use stranger::{Row, Stranger, StrangerFailed, url_of};

/// Why a table was not attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum SourceFailed {
    /// The database has no table of this name.
    #[error(
        "the database has no table {0:?}; give it as SQL would have it: schema.table, in double quotes where a name has capitals"
    )]
    NoTable(String),
    /// The table, and what it is with the remedy.
    #[error("{0} {1}")]
    NotATable(String, String),
    /// The table has no such column.
    #[error("{option} {column}: {table} has no such column; it has {columns}")]
    NoColumn {
        /// The option that names it.
        option: &'static str,
        /// What it names.
        column: String,
        /// The table.
        table: String,
        /// The columns that there are.
        columns: String,
    },
    /// The column that says when a row was made holds no time.
    #[error(
        "--made-at {column}: it is of type {of_type}; name a column of type timestamptz, timestamp or date"
    )]
    NoTime {
        /// The column.
        column: String,
        /// What it holds.
        of_type: String,
    },
    /// The server has no role of this name.
    #[error(
        "--compare-as: the database has no role {0:?}; CREATE ROLE it first, with LOGIN and nothing else"
    )]
    NoRole(String),
    /// The role that compares has, or can take, something of Posthorn's.
    #[error(
        "--compare-as {role}: it {because}; what the table's owner has defined is evaluated as that role, so give it one \
         that has nothing of Posthorn's: CREATE ROLE … LOGIN"
    )]
    KnowsPosthorn {
        /// The role.
        role: String,
        /// What it has, as the end of a sentence.
        because: String,
    },
    /// The role that compares reads another owner's table.
    #[error(
        "--compare-as {role}: it reads {others} as well, which has another owner; what one of them has defined could read \
         by it what is the other's, so give each owner's tables a role of their own"
    )]
    SharedRole {
        /// The role.
        role: String,
        /// The other table.
        others: String,
    },
    /// Whoever attaches may not grant what the role that compares lacks.
    #[error("--compare-as {role}: you may not let it read the table; have its owner run: {grants}")]
    NotGranted {
        /// The role.
        role: String,
        /// What its owner would have to run.
        grants: String,
    },
    /// The operator's SQL is refused, by the database or because it cannot be kept.
    #[error("{option}: {why}")]
    Expression {
        /// The option that has it.
        option: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A trigger does not see the column.
    #[error(
        "column {column} of {table} is generated and virtual, which a trigger sees as NULL; make it STORED, or choose others by --data"
    )]
    Virtual {
        /// The column.
        column: String,
        /// The table.
        table: String,
    },
    /// PostgreSQL shows an expression in an unknown form.
    #[error("{0}: PostgreSQL shows the expression in a way that is not understood")]
    Unreadable(&'static str),
    /// Another table has a source of this name.
    #[error("the source {name} is attached to {table}; choose another name for this one by --name")]
    NameTaken {
        /// The name.
        name: String,
        /// The table.
        table: String,
    },
    /// Somebody else holds a lock for too long.
    #[error(
        "{0} is locked by a transaction that does not end within a second; try again when it has"
    )]
    Locked(String),
    /// No source has this name or this table.
    #[error("there is no source of the name or the table {0:?}; `posthorn source list` shows them")]
    NoSource(String),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for SourceFailed {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
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
            None => error.into(),
        }
    }
}

/// SQL for one transaction, and whose tables it locks.
#[derive(Debug)]
pub struct Script {
    /// The statements, without BEGIN and COMMIT.
    pub sql: String,
    /// The tables that it locks, quoted; the table first, then its partitions.
    pub tables: Vec<String>,
    /// What to think of before it is run, a sentence each.
    pub notes: Vec<String>,
}

/// Makes a table a source, or gives a source new settings; in the same transaction the
/// table and its partitions get their triggers.
pub async fn attach(pool: &Pool, source: &Source, table: &str) -> Result<Script, SourceFailed> {
    let mut connection = pool.connect().await?;
    let script = script_to_attach(&mut connection, source, table).await?;
    run(&mut connection, &script).await?;
    Ok(script)
}

/// What [`attach`] would run; changes nothing.
pub async fn plan_attachment(
    pool: &Pool,
    source: &Source,
    table: &str,
) -> Result<Script, SourceFailed> {
    script_to_attach(&mut pool.connect().await?, source, table).await
}

async fn script_to_attach(
    connection: &mut PgConnection,
    source: &Source,
    table: &str,
) -> Result<Script, SourceFailed> {
    let table = find_table(connection, table).await?;
    table.has_columns_of(source)?;
    let before = listens_to(connection, &source.name, &table).await?;
    let reading = read(connection, source, &table).await?;
    table.computes_none_of(source, &reading.columns)?;
    let grants = match &source.compare {
        Some(compare) => missing_grants(connection, compare, &table, &reading.compared).await?,
        None => vec![],
    };
    Ok(Script {
        sql: script::attach(source, &table, &reading, before, &grants),
        notes: notes(connection, source, &table).await?,
        tables: table.members,
    })
}

/// Takes a source's triggers and its function away; its events stay. `which` is its name,
/// or a table, of which all sources are detached. Returns their names.
pub async fn detach(pool: &Pool, which: &str) -> Result<Vec<String>, SourceFailed> {
    let mut connection = pool.connect().await?;
    let mut detached = vec![];
    for (name, script) in scripts_to_detach(&mut connection, which).await? {
        run(&mut connection, &script).await?;
        detached.push(name);
    }
    Ok(detached)
}

/// What [`detach`] would run, by the sources' names; changes nothing.
pub async fn plan_detachment(
    pool: &Pool,
    which: &str,
) -> Result<Vec<(String, Script)>, SourceFailed> {
    scripts_to_detach(&mut pool.connect().await?, which).await
}

async fn scripts_to_detach(
    connection: &mut PgConnection,
    which: &str,
) -> Result<Vec<(String, Script)>, SourceFailed> {
    let names = names_of(connection, which).await?;
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
             WHERE t.tgfoid = (SELECT p.oid FROM pg_proc p
                                WHERE p.pronamespace = 'posthorn'::regnamespace AND p.proname = 'source_' || $1::text)
                OR t.tgfoid IN ('posthorn.open_source_statement()'::regprocedure,
                                'posthorn.append_source_rows()'::regprocedure)
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
        let notes = vec![];
        scripts.push((name, Script { sql, tables, notes }));
    }
    Ok(scripts)
}

/// The source of the name, or those of the table.
async fn names_of(connection: &mut PgConnection, which: &str) -> Result<Vec<String>, SourceFailed> {
    let named = sqlx::query_scalar!(
        "SELECT s.name FROM posthorn.sources s WHERE s.name = $1",
        which
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(name) = named {
        return Ok(vec![name]);
    }
    let of_the_table = sqlx::query_scalar!(
        "SELECT s.name FROM posthorn.sources s WHERE s.relation = to_regclass($1) ORDER BY s.name",
        which
    )
    .fetch_all(connection)
    .await;
    Ok(of_the_table.map(Some).or_else(no_name)?.unwrap_or_default())
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
            _ => error.into(),
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

/// What attaching reads of a source.
#[derive(Debug)]
pub struct Reading {
    /// The source as its function has it: the names in its SQL have their schemas.
    pub source: Source,
    /// Every column that it names, each once.
    pub columns: Vec<String>,
    /// The columns that say what is to be told, and of which rows.
    pub compared: Vec<String>,
}

async fn read(
    connection: &mut PgConnection,
    source: &Source,
    table: &Table,
) -> Result<Reading, SourceFailed> {
    let named = vec![
        source.merchant.clone(),
        source.id.clone(),
        source.status.clone(),
    ];
    let mut reading = Reading {
        source: source.clone(),
        columns: named.clone(),
        compared: named,
    };
    let key = table.key.iter().map(|column| column.name.clone());
    reading.columns.extend(key);
    if let Data::Columns(named) = &source.data {
        reading.columns.extend(named.iter().cloned());
    }
    // Otherwise the first change of the table reads them, with the rights of whoever makes it.
    if may_be_read(connection).await? {
        read_expressions(connection, &mut reading, table).await?;
    } else {
        refuse_unread(connection, source, table).await?;
    }
    reading.columns.extend(reading.compared.iter().cloned());
    // A change is told also when the comparison cannot be made any more.
    let made_at = source.compare.iter().flat_map(|compare| &compare.made_at);
    reading.compared.extend(made_at.cloned());
    for columns in [&mut reading.columns, &mut reading.compared] {
        columns.sort();
        columns.dedup();
    }
    Ok(reading)
}
