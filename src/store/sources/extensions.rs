//! Types of extensions, whose operators stand in other schemas than PostgreSQL's own.

use sqlx::PgConnection;

use super::SourceFailed;
use super::table::Table;
use crate::model::Source;
use crate::model::source::{Data, Kind};

/// The schemas of extensions that have types, but for PostgreSQL's own.
pub async fn schemas(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        SELECT DISTINCT n.nspname::text AS "name!"
          FROM pg_depend d
          JOIN pg_type t ON d.classid = 'pg_type'::regclass AND d.objid = t.oid
          JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND n.nspname <> 'pg_catalog'
         ORDER BY 1
        "#
    )
    .fetch_all(connection)
    .await
}

/// Where expressions may not be read beforehand, nobody can say what an operator beside a
/// value of such a type means: it has to be said.
pub async fn refuse_unread(
    connection: &mut PgConnection,
    source: &Source,
    table: &Table,
) -> Result<(), SourceFailed> {
    let columns = sqlx::query!(
        r#"
        SELECT a.attname::text AS "name!", format_type(a.atttypid, NULL) AS "type_name!"
          FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
           AND EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_type'::regclass AND d.deptype = 'e'
                          AND d.objid IN (t.oid, t.typbasetype, t.typelem))
         ORDER BY a.attnum
        "#,
        table.oid
    )
    .fetch_all(connection)
    .await?;
    let when = source.when.as_deref().map(|sql| ("--when", sql));
    let kind = match &source.kind {
        Kind::Sql(sql) => Some(("--kind-sql", sql.as_str())),
        Kind::Text(_) => None,
    };
    let data = match &source.data {
        Data::Sql(sql) => Some(("--data-sql", sql.as_str())),
        _ => None,
    };
    for (option, sql) in [when, kind, data].into_iter().flatten() {
        let sql = sql.to_lowercase();
        let named = |name: &str| sql.contains(&name.to_lowercase());
        if let Some(column) = columns.iter().find(|column| named(&column.name))
            && !sql.contains("operator(")
        {
            return Err(SourceFailed::Expression {
                option,
                why: format!(
                    "{} is a {}, and how it compares cannot be looked up beforehand, because somebody else has a domain \
                     in this database; write operators with the extension's schema, such as new.{} OPERATOR(public.=) …",
                    column.name, column.type_name, column.name
                ),
            });
        }
    }
    Ok(())
}
