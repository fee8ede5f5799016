//! Sends a statement with the names of its days.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Describe, Execute, Executor, Postgres, SqlSafeStr, SqlStr};

use super::{Reply, Steps};
use crate::store::days::Names;

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

    fn fetch_many<'e, 'q: 'e, E: 'q + Execute<'q, Postgres>>(self, query: E) -> Steps<'e>
    where
        'x: 'e,
    {
        self.executor.fetch_many(Named::new(query, self.names))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> Reply<'e, Option<PgRow>>
    where
        'x: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.executor.fetch_optional(Named::new(query, self.names))
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> Reply<'e, PgStatement>
    where
        'x: 'e,
    {
        self.executor.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> Reply<'e, Describe<Postgres>>
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
