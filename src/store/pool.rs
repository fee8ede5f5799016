//! The way to the database, directly or through a pooler: whatever of the store asks something
//! asks it of a [`Pool`].

mod hosts;
mod named;
mod session;
mod settings;
mod shelf;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{SinkExt, StreamExt, TryStreamExt};
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr};

use self::hosts::Hosts;
use self::session::Session;
use self::settings::{begin, begin_through_a_pooler, of_a_session};
use self::shelf::Shelf;
use super::StoreError;
use super::days::KnownDays;

pub use self::hosts::first_of;
pub use self::settings::RELIED_ON;
pub use self::transaction::Transaction;

/// How long a command waits for its one connection.
const ONCE: Duration = Duration::from_secs(30);

/// What the driver and a server say to one another of a statement: its results and rows.
type Step = Either<PgQueryResult, PgRow>;

/// The steps of an answer, as they come.
type Steps<'e> = BoxStream<'e, Result<Step, sqlx::Error>>;

/// An answer that is there as a whole, or not at all.
type Reply<'e, T> = BoxFuture<'e, Result<T, sqlx::Error>>;

/// What stands between Posthorn and the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing: each session is this process's own.
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
    sessions: Arc<Shelf>,
    way: Way,
    /// How a transaction begins.
    begin: Arc<str>,
    /// The partitions that statements may name.
    days: Arc<KnownDays>,
}

/// A pool for a command.
pub fn connect(url: &SecretString, max_connections: u32) -> Result<Pool, StoreError> {
    connect_by(Way::Direct, url, max_connections)
}

/// A pool for a command that goes this way.
pub fn connect_by(way: Way, url: &SecretString, max_connections: u32) -> Result<Pool, StoreError> {
    pool(way, url, max_connections, None)
}

/// A pool for statements that are given up after `patience`: none goes on for longer in the
/// server.
pub fn connect_to_keep(
    way: Way,
    url: &SecretString,
    max_connections: u32,
    patience: Duration,
) -> Result<Pool, StoreError> {
    pool(way, url, max_connections, Some(patience))
}

/// A connection without a pool, with settings of the caller's own.
pub(super) async fn connect_once(
    url: &SecretString,
    settings: impl Fn(PgConnectOptions) -> PgConnectOptions,
) -> Result<PgConnection, sqlx::Error> {
    Hosts::read(url)?.each(settings).connect(ONCE).await
}

fn pool(
    way: Way,
    url: &SecretString,
    max_connections: u32,
    patience: Option<Duration>,
) -> Result<Pool, StoreError> {
    let hosts = Hosts::read(url)?.each(|host| {
        let host = host.application_name("posthorn");
        match way {
            Way::Direct => host.options(of_a_session(patience)),
            // Poolers refuse what they do not know of a connection's beginning.
            Way::Pooler => host.extra_float_digits(None).statement_cache_capacity(0),
        }
    });
    Ok(Pool {
        sessions: Arc::new(Shelf::new(hosts, way, max_connections)),
        way,
        begin: match way {
            Way::Direct => begin(),
            Way::Pooler => begin_through_a_pooler(patience),
        },
        days: Arc::default(),
    })
}

/// A pool that leads straight to PostgreSQL, as somebody else has set it up.
impl From<PgPool> for Pool {
    fn from(pool: PgPool) -> Self {
        let hosts = Hosts::one((*pool.connect_options()).clone());
        let most = pool.options().get_max_connections();
        Self {
            sessions: Arc::new(Shelf::new(hosts, Way::Direct, most)),
            way: Way::Direct,
            begin: begin(),
            days: Arc::default(),
        }
    }
}

impl Pool {
    /// A transaction, which is rolled back unless it is committed.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(self.open().await?)
    }

    async fn open(&self) -> Result<Transaction, sqlx::Error> {
        Transaction::begin(self.lend().await?, self.way, Arc::clone(&self.begin)).await
    }

    /// A connection of the caller's own, for what goes beyond one transaction: not by way of a
    /// pooler.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        Ok(self.sessions.connect().await?)
    }

    /// Lets no session be used from now on that leads to other tables than those of this cluster
    /// ([`tables_of`](crate::model::cluster::tables_of)).
    pub fn keep_to(&self, cluster: &str) {
        self.sessions.keep_to(cluster);
    }

    /// Refuses what was read of other tables than those that it keeps to; `tables` is what
    /// `posthorn.tables()` said in the same statement or transaction.
    pub fn keeps(&self, tables: &str) -> Result<(), StoreError> {
        self.sessions.keeps(tables)
    }

    /// Closes every session that rests, and each other when it comes back.
    pub async fn close(&self) {
        self.sessions.close().await;
    }

    /// What is known of the daily partitions.
    pub(super) fn days(&self) -> &KnownDays {
        &self.days
    }

    async fn lend(&self) -> Result<Session, sqlx::Error> {
        self.sessions.lend().await
    }

    /// A statement as a transaction of its own. It counts as answered when that is
    /// committed, so its rows are gathered until then.
    async fn in_transaction<'q>(
        self,
        query: impl Execute<'q, Postgres> + 'q,
    ) -> Result<Vec<Step>, sqlx::Error> {
        let mut transaction = self.open().await?;
        let steps = transaction.fetch_many(query).try_collect().await?;
        transaction.end().await?;
        Ok(steps)
    }

    /// The answer's steps as they come. The session is asked beside the reading of them, and
    /// both end together.
    fn ask<'q>(
        self,
        query: impl Execute<'q, Postgres> + 'q,
    ) -> impl futures::Stream<Item = Result<Step, sqlx::Error>> + Send + 'q {
        let (mut steps, taken) = mpsc::channel(0);
        let asking = async move {
            let mut session = match self.lend().await {
                Ok(session) => session,
                // Whoever asked may have gone.
                Err(error) => return drop(steps.send(Err(error)).await),
            };
            let mut answer = session.fetch_many(query);
            while let Some(step) = answer.next().await {
                if steps.send(step).await.is_err() {
                    return;
                }
            }
        };
        stream::select(
            taken,
            stream::once(asking).filter_map(|()| future::ready(None)),
        )
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E: 'q + Execute<'q, Postgres>>(self, query: E) -> Steps<'e>
    where
        'p: 'e,
    {
        match self.way {
            Way::Direct => self.clone().ask(query).boxed(),
            Way::Pooler => stream::once(self.clone().in_transaction(query))
                .map_ok(|steps| stream::iter(steps.into_iter().map(Ok)))
                .try_flatten()
                .boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> Reply<'e, Option<PgRow>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.way {
            Way::Direct => Box::pin(async move { self.lend().await?.fetch_optional(query).await }),
            Way::Pooler => {
                let steps = self.clone().in_transaction(query);
                Box::pin(async move { Ok(steps.await?.into_iter().find_map(Either::right)) })
            }
        }
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> Reply<'e, PgStatement>
    where
        'p: 'e,
    {
        Box::pin(async move { self.lend().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> Reply<'e, Describe<Postgres>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.lend().await?.describe(sql).await })
    }
}
