//! The session that reads a source's table to compare it. It is of a role that has nothing of
//! Posthorn's: planning and reading evaluate what the table's owner has defined
//! (docs/decisions/0062-tables-are-compared-by-a-stranger.md).

mod failed;

use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres, Row as _, Transaction};
use tokio::time::timeout;
use tracing::debug;

use self::failed::passing;
use super::comparable::Comparable;
use super::quote::{identifier, literal};
use super::rights::what_it_knows;
use super::session;
use crate::model::Snapshot;
use crate::model::source::Kind;
use crate::store::StoreError;
use crate::store::pool::{connect_once, first_of};

pub use self::failed::StrangerFailed;

/// Whatever the role, the database or the server has set. A policy is an error and hides no row;
/// who alters the table does not wait behind a reader, nor it for him.
const SETTINGS: &str = "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL row_security = off;
    SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '20s'; SET LOCAL jit = off;
    SET LOCAL enable_tidscan = on; SET LOCAL max_parallel_workers_per_gather = 0;";

/// Longer than the server's limit: what a table's owner has defined may not heed that one.
const PATIENCE: Duration = Duration::from_secs(25);

/// Ids with the transactions after the oldest in question; rows that only seem to be as young
/// are looked at as well.
const SLACK: i64 = 1_000;

/// Rows that are in memory at a time: each has four texts of at most 1,000 bytes.
const AT_A_TIME: usize = 2_000;

/// A URL of the role that may read a table, out of several: its user is the role.
#[must_use]
pub fn url_of<'u>(urls: &'u [SecretString], role: &str) -> Option<&'u SecretString> {
    urls.iter().find(|url| {
        PgConnectOptions::from_str(&first_of(url.expose_secret()))
            .is_ok_and(|options| options.get_username() == role)
    })
}

/// A row as the trigger would tell of it now.
#[derive(Debug)]
pub struct Row {
    /// Whose it is.
    pub merchant: String,
    /// The transaction's id.
    pub id: String,
    /// What it has.
    pub status: String,
    /// The kind that its event would have.
    pub kind: String,
    /// Whether it was made when events were made and kept: it is to have one.
    pub is_new: bool,
}

/// A session of a role that has nothing of Posthorn's, to read a table by.
#[derive(Debug)]
pub struct Stranger {
    url: SecretString,
    connection: PgConnection,
    /// The server's process that works for it.
    process: i32,
}

impl Stranger {
    /// Refuses another role than the source's and another database.
    pub async fn connect(url: &SecretString, source: &Comparable) -> Result<Self, StrangerFailed> {
        let mut connection = connect(url).await?;
        // Not every system has it: whether whoever asked is still there, for one that was killed.
        let looks = connection.execute("SET client_connection_check_interval = '2s'");
        if let Err(error) = looks.await {
            debug!(
                error = passing(&error),
                "the server does not look for its clients"
            );
        }
        let mut stranger = Self {
            url: url.clone(),
            connection,
            process: 0,
        };
        let mut transaction = begin(&mut stranger.connection).await?;
        let (server, database, is_standby, role): (i64, i64, bool, String) = sqlx::query_as(
            "SELECT (SELECT system_identifier FROM pg_control_system()), d.oid::bigint, pg_is_in_recovery(), session_user::text
               FROM pg_database d WHERE d.datname = current_database()",
        )
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.rollback().await?;
        let refused = if (server, database) != (source.server, source.database) {
            "the URL of its role leads to another database than database.url".to_owned()
        } else if is_standby {
            // Its snapshots do not say what is still running.
            "the URL of its role leads to a standby; give one of the server that takes writes"
                .to_owned()
        } else if role == source.role {
            return Ok(stranger);
        } else {
            format!("its role is {}, and the URL leads to {role}", source.role)
        };
        Err(StrangerFailed::Refused(refused))
    }

    /// How many pages the largest of the table and its partitions has.
    pub async fn pages(&mut self, source: &Comparable) -> Result<u32, StrangerFailed> {
        let mut transaction = begin(&mut self.connection).await?;
        let (are_heaps, pages): (bool, i64) = sqlx::query_as(
            "SELECT coalesce(bool_and(coalesce(m.amname = 'heap', c.relkind = 'p')), true),
                    coalesce(max(pg_relation_size(c.oid) / current_setting('block_size')::bigint)
                                 FILTER (WHERE c.relkind = 'r'), 0)
               FROM pg_class c LEFT JOIN pg_am m ON m.oid = c.relam
              WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1))",
        )
        .bind(source.relation)
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.rollback().await?;
        if are_heaps {
            Ok(u32::try_from(pages).unwrap_or(u32::MAX))
        } else {
            Err(StrangerFailed::Refused(
                "its table, or a partition, does not keep rows in pages as PostgreSQL's own tables do"
                    .to_owned(),
            ))
        }
    }

    /// Opens some pages of the table: whatever its owner has defined runs from here on.
    pub async fn open(
        &mut self,
        source: &Comparable,
        pages: Range<u32>,
    ) -> Result<Pages<'_>, StrangerFailed> {
        let cursor = format!(
            "DECLARE told NO SCROLL CURSOR FOR {}",
            select(source, &pages)
        );
        let process = &mut self.process;
        let mut transaction = begin(&mut self.connection).await?;
        let (snapshot, working): (String, i32) =
            sqlx::query_as("SELECT pg_current_snapshot()::text, pg_backend_pid()")
                .persistent(false)
                .fetch_one(&mut *transaction)
                .await?;
        *process = working;
        // Safe: names and values in it are quoted, its expressions are the operator's own, and
        // the role can do nothing.
        answer(transaction.execute(sqlx::raw_sql(AssertSqlSafe(cursor)))).await?;
        // What the cursor has found under the name cannot be renamed any more.
        let is_the_table: bool = sqlx::query_scalar("SELECT to_regclass($1)::oid = $2 IS TRUE")
            .bind(&source.table)
            .bind(source.relation)
            .persistent(false)
            .fetch_one(&mut *transaction)
            .await?;
        if !is_the_table {
            return Err(StrangerFailed::Refused(format!(
                "{} is another table by now than the one that was attached",
                source.table
            )));
        }
        let snapshot = snapshot.parse();
        Ok(Pages {
            transaction,
            snapshot: snapshot.map_err(|_| {
                StrangerFailed::Refused("its server has snapshots of an unknown form".to_owned())
            })?,
        })
    }

    /// Ends what the session is still at: what a table's owner has defined may not heed a limit of
    /// time, and would stay after whoever asked has gone.
    pub async fn end(self) {
        let Self {
            url,
            connection,
            process,
        } = self;
        drop(connection);
        if let Ok(mut other) = connect(&url).await {
            let ended = sqlx::query("SELECT pg_catalog.pg_terminate_backend($1)")
                .bind(process)
                .persistent(false)
                .execute(&mut other)
                .await;
            if let Err(error) = ended {
                debug!(error = passing(&error), "the session had ended already");
            }
        }
    }
}

/// Pages of a table that are being read, as they were at one moment.
#[derive(Debug)]
pub struct Pages<'s> {
    transaction: Transaction<'s, Postgres>,
    /// What was committed then.
    pub snapshot: Snapshot,
}

impl Pages<'_> {
    /// The next rows that are to be told of and were written since events are kept; none: the
    /// pages are through.
    pub async fn next(&mut self) -> Result<Vec<Row>, StrangerFailed> {
        let fetch = format!("FETCH {AT_A_TIME} FROM told");
        // Safe: it is a constant.
        let fetch = sqlx::query(AssertSqlSafe(fetch)).persistent(false);
        let found = answer(fetch.fetch_all(&mut *self.transaction)).await?;
        let rows = found.iter().map(|row| {
            Ok(Row {
                merchant: row.try_get(0)?,
                id: row.try_get(1)?,
                status: row.try_get(2)?,
                kind: row.try_get(3)?,
                is_new: row.try_get(4)?,
            })
        });
        Ok(rows.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Ends the reading of these pages.
    pub async fn close(self) -> Result<(), StrangerFailed> {
        Ok(self.transaction.rollback().await?)
    }
}

/// Waits for a statement that runs what a table's owner has defined.
async fn answer<T>(
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StrangerFailed> {
    match timeout(PATIENCE, statement).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StrangerFailed::Refused(
            "a look at some pages of its table did not end within the limit of 20 seconds"
                .to_owned(),
        )),
    }
}

async fn connect(url: &SecretString) -> Result<PgConnection, StrangerFailed> {
    let plain = |host: PgConnectOptions| {
        host.application_name("posthorn")
            .extra_float_digits(None)
            .statement_cache_capacity(0)
    };
    connect_once(url, plain).await.map_err(|error| {
        let passing = passing(&error);
        let error = StoreError::from(error);
        if error.is_refused() {
            let (words, remedy) = (error.words(), error.remedy());
            StrangerFailed::Refused(format!("the URL of its role: {words}{remedy}"))
        } else {
            StrangerFailed::Session(passing)
        }
    })
}

/// Refuses a role that has or can get anything of Posthorn's, also if it was given that since the
/// last time.
async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, StrangerFailed> {
    let mut transaction = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let settings = format!("{SETTINGS}{}", session::statements());
    // Safe: they are constants.
    transaction
        .execute(sqlx::raw_sql(AssertSqlSafe(settings)))
        .await?;
    match what_it_knows(&mut transaction, None).await? {
        None => Ok(transaction),
        Some(because) => Err(StrangerFailed::Refused(format!(
            "its role {because}; what the table's owner has defined is evaluated as that role, so give it one that has \
             nothing of Posthorn's: CREATE ROLE … LOGIN"
        ))),
    }
}

/// The statement that reads some pages. Rows are found by where they lie: no index is needed, and
/// each piece is a short statement. What cannot be part of an event is left out.
fn select(source: &Comparable, pages: &Range<u32>) -> String {
    let text = |column: &str| format!("new.{}::text", identifier(column));
    let (merchant, id, status) = (
        text(&source.merchant),
        text(&source.id),
        text(&source.status),
    );
    let kind = match &source.kind {
        Kind::Text(kind) => literal(kind),
        Kind::Sql(sql) => format!("({sql}\n)::text"),
    };
    let is_new = source.made_at.as_ref().map_or_else(
        || "false".to_owned(),
        |column| {
            format!(
                "coalesce(new.{}::timestamptz >= {}::timestamptz, false)",
                identifier(column),
                literal(&written(source.told_since))
            )
        },
    );
    let when = source
        .when
        .as_ref()
        .map_or_else(String::new, |when| format!("\n   AND ({when}\n)"));
    let written_since = source.xid_since.map_or_else(String::new, |xid| {
        format!(
            "\n   AND age(new.xmin) <= (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint) - {xid} + {SLACK}"
        )
    });
    let fits = |value: &str| format!("octet_length({value}) BETWEEN 1 AND 1000");
    format!(
        "SELECT told.* FROM (
SELECT {merchant} AS merchant, {id} AS id, {status} AS status, {kind} AS kind, {is_new} AS is_new
  FROM {only}{table} AS new
 WHERE new.ctid >= '({from},0)'::tid AND new.ctid < '({to},0)'::tid{written_since}{when}) AS told
 WHERE {} AND {} AND {} AND {}",
        fits("told.merchant"),
        fits("told.id"),
        fits("told.status"),
        fits("told.kind"),
        // Children by INHERITS have no triggers.
        only = if source.is_partitioned { "" } else { "ONLY " },
        table = source.table,
        from = pages.start,
        to = pages.end,
    )
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
