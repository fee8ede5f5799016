//! Whether the SQL of a source fits its table, asked before any trigger is made.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::function::new_beside_old;
use super::quote::identifier;
use super::table::Table;
use super::{Reading, SourceFailed, extensions, session};
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
/// the trigger function will, and tells its type and the columns that it names.
pub async fn read_expressions(
    connection: &mut PgConnection,
    reading: &mut Reading,
    table: &Table,
) -> Result<(), SourceFailed> {
    let source = reading.source.clone();
    let schemas = extensions::schemas(connection).await?;
    let mut reader = Reader {
        connection,
        table,
        schemas,
    };
    if let Some(when) = &source.when {
        let seen = reader.read("--when", when).await?;
        reading.compared.extend(seen.columns);
        reading.source.when = Some(seen.sql);
    }
    if let Kind::Sql(sql) = &source.kind {
        let seen = reader.read("--kind-sql", sql).await?;
        reading.compared.extend(seen.columns);
        reading.source.kind = Kind::Sql(seen.sql);
    }
    if let Data::Sql(sql) = &source.data {
        let seen = reader.read("--data-sql", sql).await?;
        if !matches!(seen.type_name.as_str(), "json" | "jsonb") {
            return Err(SourceFailed::Expression {
                option: "--data-sql",
                why: format!(
                    "it gives {}, not json; put it into to_json(…) or json_build_object(…)",
                    seen.type_name
                ),
            });
        }
        reading.columns.extend(seen.columns);
        reading.source.data = Data::Sql(seen.sql);
    }
    Ok(())
}

/// Where an expression stands: what is selected, and on which condition. A value is beside a
/// column of the row, so that an aggregate is refused; in a CASE, so that a function that returns
/// several rows is.
fn place(option: &str, sql: &str) -> (String, String) {
    if option == "--when" {
        return ("new.tableoid".to_owned(), format!("({sql}\n)"));
    }
    let value = format!("CASE WHEN new.tableoid IS NOT NULL THEN ({sql}\n) END");
    (value, "true".to_owned())
}

struct Seen {
    type_name: String,
    columns: Vec<String>,
    /// The expression, as it means the same by the path of the trigger function.
    sql: String,
}

/// A view of an expression, as the catalog has it.
struct View {
    type_name: String,
    columns: Vec<String>,
    /// The operators, functions and types of its parts, one after the other.
    calls: Vec<String>,
    /// What it calls of the schemas of extensions and belongs to none.
    others: Vec<String>,
}

impl View {
    fn seen(self, sql: String) -> Seen {
        Seen {
            type_name: self.type_name,
            columns: self.columns,
            sql,
        }
    }
}

struct Reader<'c> {
    connection: &'c mut PgConnection,
    table: &'c Table,
    /// The schemas of the extensions that have types.
    schemas: Vec<String>,
}

impl Reader<'_> {
    /// Reads an expression by PostgreSQL's own names, and by those of the extensions too: that is
    /// what psql would make of `country = 'de'` where the column is a `citext`. If it means
    /// something else then, the names are written out with their schemas; the trigger function
    /// itself never looks for a name where others may put one.
    async fn read(&mut self, option: &'static str, sql: &str) -> Result<Seen, SourceFailed> {
        let plain = self.look(option, &[], sql).await;
        let schemas = self.schemas.clone();
        let by_extensions = match schemas.as_slice() {
            [] => None,
            schemas => self.look(option, schemas, sql).await.ok(),
        };
        let Some(seen) = by_extensions else {
            return Ok(plain?.seen(sql.to_owned()));
        };
        if let Ok(view) = &plain
            && view.calls == seen.calls
        {
            return Ok(seen.seen(sql.to_owned()));
        }
        let known = plain.map(|view| view.others).unwrap_or_default();
        let refused = |why: String| Err(SourceFailed::Expression { option, why });
        if let Some(other) = seen.others.iter().find(|name| !known.contains(name)) {
            return refused(format!(
                "{other} belongs to no extension, or its owner is no superuser; write every operator and function \
                 outside pg_catalog with its schema, such as new.a OPERATOR(shop.=) new.b or shop.f(new.a)"
            ));
        }
        let written = self.write_out(option, sql).await?;
        let again = self.look(option, &[], &written).await;
        if again.is_ok_and(|view| view.calls == seen.calls) {
            return Ok(seen.seen(written));
        }
        refused(
            "it compares values of an extension's type by DISTINCT, NULLIF, CASE … WHEN, USING or rows, where SQL cannot \
             say which = is meant; compare them by =, such as CASE WHEN new.country = 'de' THEN …"
                .to_owned(),
        )
    }

    /// The expression with the schemas of all names, as PostgreSQL shows it again.
    async fn write_out(&mut self, option: &'static str, sql: &str) -> Result<String, SourceFailed> {
        let mut trial = self.connection.begin().await?;
        let mut shown = vec![];
        for select in [format!("({sql}\n)"), NOTHING.to_owned()] {
            set_path(&mut trial, &self.schemas).await?;
            // Safe: this runs as the operator who wrote the expression. A function, for views have
            // an `old` and a `new` of their own until PostgreSQL 15.
            let function = format!(
                "CREATE OR REPLACE FUNCTION pg_temp.posthorn_expression() RETURNS SETOF record LANGUAGE sql
                 BEGIN ATOMIC SELECT {select} AS value FROM {}; END",
                new_beside_old(self.table, &self.table.name, &self.table.name)
            );
            trial
                .execute(sqlx::raw_sql(AssertSqlSafe(function)))
                .await
                .map_err(|error| SourceFailed::expression(option, error))?;
            set_path(&mut trial, &[]).await?;
            let text: String = sqlx::query_scalar!(
                r#"SELECT pg_get_function_sqlbody(to_regprocedure('pg_temp.posthorn_expression()')) AS "body!""#
            )
            .fetch_one(&mut *trial)
            .await?;
            shown.push(text);
        }
        trial.rollback().await?;
        between(&shown[0], &shown[1]).ok_or(SourceFailed::Unreadable(option))
    }

    async fn look(
        &mut self,
        option: &'static str,
        schemas: &[String],
        sql: &str,
    ) -> Result<View, SourceFailed> {
        let (select, condition) = place(option, sql);
        // A savepoint: it takes the view and the settings back.
        let mut trial = self.connection.begin().await?;
        set_path(&mut trial, schemas).await?;
        let old_and_new = new_beside_old(self.table, &self.table.name, &self.table.name);
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
        set_path(&mut trial, &[]).await?;
        let view = seen_by_catalog(&mut trial, self.table, &self.schemas).await?;
        trial.rollback().await?;
        Ok(view)
    }
}

/// What the catalog has of the view that stands for an expression.
async fn seen_by_catalog(
    trial: &mut PgConnection,
    table: &Table,
    schemas: &[String],
) -> Result<View, sqlx::Error> {
    sqlx::query_as!(
        View,
        r#"
        SELECT format_type(v.atttypid, NULL) AS "type_name!", 
               ARRAY(SELECT part[1] FROM pg_rewrite r
                      CROSS JOIN regexp_matches(r.ev_action::text,
                          ':((?:opno|opnos|funcid|eqop|sortop|consttype|resulttype) (?:\d+|\([^)]*\)))', 'g') AS part
                      WHERE r.ev_class = v.attrelid) AS "calls!",
               ARRAY(SELECT DISTINCT a.attname::text
                       FROM pg_rewrite r
                       JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                       JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                      WHERE r.ev_class = v.attrelid AND d.refclassid = 'pg_class'::regclass
                        AND d.refobjid = $1 AND d.refobjsubid > 0) AS "columns!",
               ARRAY(SELECT DISTINCT called.name
                       FROM pg_rewrite r
                       JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                       JOIN (SELECT 'pg_operator'::regclass AS catalog, oid, oprnamespace AS schema, oprowner AS owner,
                                    'the operator ' || oid::regoperator AS name FROM pg_operator
                             UNION ALL
                             SELECT 'pg_proc'::regclass, oid, pronamespace, proowner,
                                    'the function ' || oid::regprocedure FROM pg_proc
                             UNION ALL
                             SELECT 'pg_type'::regclass, oid, typnamespace, typowner,
                                    'the type ' || format_type(oid, NULL) FROM pg_type) AS called
                         ON called.catalog = d.refclassid AND called.oid = d.refobjid
                       JOIN pg_namespace n ON n.oid = called.schema AND n.nspname = ANY ($2::text[])
                       JOIN pg_roles o ON o.oid = called.owner
                      WHERE r.ev_class = v.attrelid
                        AND NOT ((o.rolsuper OR o.rolname = current_user)
                                 AND EXISTS (SELECT FROM pg_depend e
                                              WHERE e.classid = called.catalog AND e.objid = called.oid
                                                AND e.deptype = 'e'))) AS "others!"
          FROM pg_attribute v
         WHERE v.attrelid = to_regclass('pg_temp.posthorn_expression') AND v.attnum = 1
        "#,
        table.oid,
        schemas
    )
    .fetch_one(trial)
    .await
}

/// PostgreSQL's own names, and those of some schemas; the other settings are the trigger
/// function's.
async fn set_path(trial: &mut PgConnection, schemas: &[String]) -> Result<(), sqlx::Error> {
    let path: String = schemas
        .iter()
        .flat_map(|schema| [identifier(schema), ", ".to_owned()])
        .collect();
    // Safe: the names are quoted.
    let settings = format!(
        "{}SET LOCAL search_path = pg_catalog, {path}pg_temp",
        session::statements()
    );
    trial
        .execute(sqlx::raw_sql(AssertSqlSafe(settings)))
        .await?;
    Ok(())
}

/// An expression that shows what stands around any other.
const NOTHING: &str = "NULL::text";

/// What stands in one text where the other has [`NOTHING`].
fn between(whole: &str, nothing: &str) -> Option<String> {
    let (before, after) = nothing.split_once(NOTHING)?;
    let inner = whole.strip_prefix(before.trim_end())?.strip_suffix(after)?;
    Some(inner.trim().to_owned())
}
