//! A transaction, whose session is closed unless it was committed.

use std::sync::Arc;

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Describe, Execute, Executor, Postgres, SqlStr};

use super::session::Session;
use super::{Reply, Steps, Way};
use crate::store::StoreError;

/// Rolled back when it is dropped: its session is closed then.
///
/// Not the driver's own: where that one is given up while BEGIN is under way, the session goes
/// back to the pool, the server begins after all, and what others write by that session from
/// then on is never committed.
#[derive(Debug)]
pub struct Transaction {
    session: Session,
    way: Way,
}

impl Transaction {
    pub(super) async fn begin(
        mut session: Session,
        way: Way,
        begin: Arc<str>,
    ) -> Result<Self, sqlx::Error> {
        // Safe: it is made of this room's constants.
        let begin = sqlx::raw_sql(AssertSqlSafe(begin));
        session.is_within = true;
        session.execute(begin).await?;
        Ok(Self { session, way })
    }

    /// Refuses other tables than its pool's, as [`Pool::keeps`](super::Pool::keeps) does.
    pub fn keeps(&self, tables: &str) -> Result<(), StoreError> {
        self.session.keeps(tables)
    }

    /// Ends it, so that everybody sees what was written.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.end().await?)
    }

    pub(super) async fn end(mut self) -> Result<(), sqlx::Error> {
        self.session.execute("COMMIT").await?;
        self.session.is_within = false;
        Ok(())
    }
}

impl<'t> Executor<'t> for &'t mut Transaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E: 'q + Execute<'q, Postgres>>(self, query: E) -> Steps<'e>
    where
        't: 'e,
    {
        match self.way {
            Way::Direct => self.session.fetch_many(query),
            Way::Pooler => self.session.fetch_many(Once(query)),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> Reply<'e, Option<PgRow>>
    where
        't: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.way {
            Way::Direct => self.session.fetch_optional(query),
            Way::Pooler => self.session.fetch_optional(Once(query)),
        }
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> Reply<'e, PgStatement>
    where
        't: 'e,
    {
        self.session.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> Reply<'e, Describe<Postgres>>
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
