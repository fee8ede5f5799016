//! Whether the SQL of a source fits its table, asked before any trigger is made.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::SourceFailed;
use super::function::new_beside_old;
use super::table::Table;
use crate::model::Source;
use crate::model::source::{Data, Kind};

/// Whether reading an expression can call nothing of anybody else's. PostgreSQL makes values
/// of the texts in it as it reads, with the rights of whoever asks, and a domain's CHECK, within
/// an array or a row, is called for that: so nobody else may have a domain here.
pub async fn may_be_read(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT NOT EXISTS (
             SELECT FROM pg_type t JOIN pg_roles r ON r.oid = t.typowner
              WHERE t.typtype = 'd' AND NOT r.rolsuper AND r.rolname <> current_user)",
    )
    .fetch_one(connection)
    .await
}

/// Makes a view of each expression and takes it back: PostgreSQL reads the expression as
/// the trigger function will, by the same search path, and tells its type and the columns
/// that it names. Returns those.
pub async fn check_expressions(
    connection: &mut PgConnection,
    source: &Source,
    table: &Table,
) -> Result<Vec<String>, SourceFailed> {
    let mut columns = vec![];
    if let Some(when) = &source.when {
        let condition = format!("({when}\n)");
        let seen = look(connection, table, "--when", "new.tableoid", &condition).await?;
        columns.extend(seen.columns);
    }
    if let Kind::Sql(sql) = &source.kind {
        let seen = look(connection, table, "--kind-sql", &value(sql), "true").await?;
        columns.extend(seen.columns);
    }
    if let Data::Sql(sql) = &source.data {
        let seen = look(connection, table, "--data-sql", &value(sql), "true").await?;
        if !matches!(seen.type_name.as_str(), "json" | "jsonb") {
            return Err(SourceFailed::Expression {
                option: "--data-sql",
                why: format!(
                    "it gives {}, not json; put it into to_json(…) or json_build_object(…)",
                    seen.type_name
                ),
            });
        }
        columns.extend(seen.columns);
    }
    Ok(columns)
}

/// Beside a column of the row, so that an aggregate is refused; in a CASE, so that a
/// function that returns several rows is.
fn value(sql: &str) -> String {
    format!("CASE WHEN new.tableoid IS NOT NULL THEN ({sql}\n) END")
}

struct Seen {
    type_name: String,
    columns: Vec<String>,
}

async fn look(
    connection: &mut PgConnection,
    table: &Table,
    option: &'static str,
    select: &str,
    condition: &str,
) -> Result<Seen, SourceFailed> {
    // A savepoint: it takes the view and the settings back.
    let mut trial = connection.begin().await?;
    sqlx::query("SET LOCAL search_path = pg_catalog, pg_temp")
        .execute(&mut *trial)
        .await?;
    let old_and_new = new_beside_old(table, &table.name, &table.name);
    // Safe: this runs as the operator who wrote the expression, as one statement.
    let view = format!(
        "CREATE TEMPORARY VIEW posthorn_expression (value) AS
         SELECT {select} FROM {old_and_new} WHERE {condition}"
    );
    sqlx::query(AssertSqlSafe(view))
        .persistent(false)
        .execute(&mut *trial)
        .await
        .map_err(|error| SourceFailed::expression(option, error))?;
    let seen = sqlx::query!(
        r#"
        SELECT format_type(v.atttypid, NULL) AS "type_name!",
               ARRAY(SELECT DISTINCT a.attname::text
                       FROM pg_rewrite r
                       JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                       JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                      WHERE r.ev_class = v.attrelid AND d.refclassid = 'pg_class'::regclass
                        AND d.refobjid = $1 AND d.refobjsubid > 0) AS "columns!"
          FROM pg_attribute v
         WHERE v.attrelid = to_regclass('pg_temp.posthorn_expression') AND v.attnum = 1
        "#,
        table.oid
    )
    .fetch_one(&mut *trial)
    .await?;
    trial.rollback().await?;
    Ok(Seen {
        type_name: seen.type_name,
        columns: seen.columns,
    })
}
