//! Sends a statement with the names of its days.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Describe, Either, Execute, Executor, Postgres, SqlSafeStr, SqlStr};

use super::names::Names;

/// An executor that is told a statement's days.
#[derive(Debug)]
pub struct ByName<'n, X> {
    executor: X,
    names: &'n Names,
}

impl Names {
    /// By whom a statement is asked, with the names in their places.
    pub const fn by<X>(&self, executor: X) -> ByName<'_, X> {
        let names = self;
        ByName { executor, names }
    }
}

impl<'x, X> Executor<'x> for ByName<'x, X>
where
    X: Executor<'x, Database = Postgres> + 'x,
{
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'x: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.executor.fetch_many(Named::new(query, self.names))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'x: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.executor.fetch_optional(Named::new(query, self.names))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'x: 'e,
    {
        self.executor.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'x: 'e,
    {
        self.executor.describe(sql)
    }
}

/// A statement with the names of its days.
struct Named<E> {
    statement: E,
    names: Names,
}

impl<E> Named<E> {
    fn new(statement: E, names: &Names) -> Self {
        let names = names.clone();
        Self { statement, names }
    }
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Named<E> {
    fn sql(self) -> SqlStr {
        let sql = self.statement.sql();
        if self.names.is_none() {
            return sql;
        }
        // Safe: the names are those of partitions, made of a table's name and a day's digits.
        AssertSqlSafe(self.names.put_into(sql.as_str())).into_sql_str()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.statement.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.statement.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.statement.persistent()
    }
}
