//! Connections to the database, directly or through a pooler.

use std::str::FromStr;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use secrecy::{ExposeSecret, SecretString};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo,
};
use sqlx::{Connection, Describe, Either, Execute, Executor, PgPool, Postgres, SqlStr};

use super::StoreError;

/// How long to wait for a connection before the database counts as away.
const ACQUIRE: Duration = Duration::from_secs(5);

/// Posthorn names what it means, so nothing but PostgreSQL's own is looked up. A path that was
/// set for the database or the role, or a schema `public` in which everybody may create, as it
/// is until PostgreSQL 14, would let others put a function or an operator in its place.
pub const SEARCH_PATH: (&str, &str) = ("search_path", "pg_catalog, pg_temp");

/// How long a connection whose statement was given up may take to be ready for another.
const RELEASE: Duration = Duration::from_secs(1);

/// These keep every statement on its index. Posthorn's tables are empty one minute and hold
/// a million rows the next, and a cached plan that was right for the empty table (a
/// sequential scan) would be ruinous for the full one
/// (docs/decisions/0003-planner-settings.md).
const SETTINGS: [(&str, &str); 8] = [
    SEARCH_PATH,
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("timezone", "UTC"),
    // As the settings' reader takes intervals out of JSON rows.
    ("intervalstyle", "iso_8601"),
];

/// The same for one transaction: a pooler's next transaction has another session.
const BEGIN: &str = "BEGIN; SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; \
     SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
     SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL timezone = 'UTC'; \
     SET LOCAL intervalstyle = 'iso_8601'";

/// What the driver and a server say to one another of a statement: its results and rows.
type Step = Either<PgQueryResult, PgRow>;

/// What stands between Posthorn and the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Direct,
    /// A pooler that gives each transaction a session of its choice, such as `PgBouncer` in
    /// transaction mode. A session keeps nothing between two of them: no settings and no
    /// prepared statements. So each statement is a transaction that brings its settings,
    /// and is parsed within it (docs/decisions/0027-transaction-poolers.md).
    Pooler,
}

/// Connects when it is first used, so a database that is away at start is no error here.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: PgPool,
    way: Way,
}

/// A pool for a command.
pub fn connect(url: &SecretString, max_connections: u32) -> Result<Pool, StoreError> {
    connect_by(Way::Direct, url, max_connections)
}

pub fn connect_by(way: Way, url: &SecretString, max_connections: u32) -> Result<Pool, StoreError> {
    let sessions = PgPoolOptions::new().max_connections(max_connections);
    Ok(pool(way, sessions, session(way, url)?))
}

/// A pool for statements that are given up after `patience`. None goes on for longer in the
/// server, and a connection that hangs (packets vanish, the server stands still) is closed,
/// so that its place is free: the driver would wait for it as long as TCP does, a quarter of
/// an hour. It costs a round trip after each statement.
pub fn connect_to_keep(
    way: Way,
    url: &SecretString,
    max_connections: u32,
    patience: Duration,
) -> Result<Pool, StoreError> {
    let sessions = PgPoolOptions::new()
        .max_connections(max_connections)
        .after_release(|session, _| {
            Box::pin(async {
                let answered = tokio::time::timeout(RELEASE, session.ping()).await;
                Ok(answered.is_ok_and(|answered| answered.is_ok()))
            })
        });
    let session = session(way, url)?;
    let session = match way {
        Way::Direct => session.options([("statement_timeout", patience.as_millis().to_string())]),
        Way::Pooler => session,
    };
    Ok(pool(way, sessions, session))
}

fn session(way: Way, url: &SecretString) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url.expose_secret())?.application_name("posthorn");
    Ok(match way {
        Way::Direct => options.options(SETTINGS),
        // Poolers refuse what they do not know of a connection's beginning.
        Way::Pooler => options.extra_float_digits(None).statement_cache_capacity(0),
    })
}

fn pool(way: Way, sessions: PgPoolOptions, session: PgConnectOptions) -> Pool {
    let connections = sessions
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .connect_lazy_with(session);
    Pool { connections, way }
}

/// Connections that somebody else has set up, straight to PostgreSQL.
impl From<PgPool> for Pool {
    fn from(connections: PgPool) -> Self {
        Self {
            connections,
            way: Way::Direct,
        }
    }
}

impl Pool {
    pub async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        let mut transaction = Transaction {
            session: self.connections.acquire().await?,
            way: self.way,
            is_open: true,
        };
        let begin = match self.way {
            Way::Direct => "BEGIN",
            Way::Pooler => BEGIN,
        };
        transaction.session.execute(begin).await?;
        Ok(transaction)
    }

    /// A session, for what goes beyond one transaction: not by way of a pooler.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.connections.acquire().await
    }

    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.way == Way::Direct
    }

    pub async fn close(&self) {
        self.connections.close().await;
    }

    /// A statement as a transaction of its own. It counts as answered when that is
    /// committed, so its rows are gathered until then.
    async fn in_transaction<'q>(
        self,
        query: impl Execute<'q, Postgres> + 'q,
    ) -> Result<Vec<Step>, sqlx::Error> {
        let mut transaction = self.begin().await?;
        let steps = transaction.fetch_many(query).try_collect().await?;
        transaction.commit().await?;
        Ok(steps)
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.way {
            Way::Direct => self.connections.fetch_many(query),
            Way::Pooler => stream::once(self.clone().in_transaction(query))
                .map_ok(|steps| stream::iter(steps.into_iter().map(Ok)))
                .try_flatten()
                .boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.way {
            Way::Direct => self.connections.fetch_optional(query),
            Way::Pooler => {
                let steps = self.clone().in_transaction(query);
                Box::pin(async move { Ok(steps.await?.into_iter().find_map(Either::right)) })
            }
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        self.connections.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        self.connections.describe(sql)
    }
}

/// Rolled back when it is dropped: its session is closed then.
///
/// Not the driver's own: where that one is given up while BEGIN is under way, the session goes
/// back to the pool, the server begins after all, and what others write by that session from
/// then on is never committed.
#[derive(Debug)]
pub struct Transaction {
    session: PoolConnection<Postgres>,
    way: Way,
    is_open: bool,
}

impl Transaction {
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.session.execute("COMMIT").await?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.is_open {
            self.session.close_on_drop();
        }
    }
}

impl<'t> Executor<'t> for &'t mut Transaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, sqlx::Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.way {
            Way::Direct => self.session.fetch_many(query),
            Way::Pooler => self.session.fetch_many(Once(query)),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.way {
            Way::Direct => self.session.fetch_optional(query),
            Way::Pooler => self.session.fetch_optional(Once(query)),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        't: 'e,
    {
        self.session.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        't: 'e,
    {
        self.session.describe(sql)
    }
}

/// A statement without a name: the session that knows it is another one's next.
struct Once<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Once<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}
