//! How the sources stand.

use crate::store::Pool;
use chrono::{DateTime, Utc};

use crate::model::Source;
use crate::model::source::{Compare, Data, Kind, On, OnFailure};
use crate::store::StoreError;

/// Counting stops here: a source that has failed for a day has millions of rows, and
/// "100,000 or more" says as much.
const MOST_FAILURES: i64 = 100_000;

/// A source, and what is amiss with it.
#[derive(Debug)]
pub struct Listed {
    /// The source as it was attached.
    pub source: Source,
    /// Its table with the schema, quoted; none: it was dropped.
    pub table: Option<String>,
    /// Another table that has the name by now that its table had when it was attached.
    pub namesake: Option<String>,
    /// Partitions that there are besides.
    pub partitions: i64,
    /// Columns that it names and the table does not have any more.
    pub missing_columns: Option<String>,
    /// The table or partitions whose triggers are missing or switched off.
    pub silent: Vec<String>,
    /// Its changes that became no event; none: there is none.
    pub failures: Option<Failures>,
}

/// Changes that became no event.
#[derive(Debug)]
pub struct Failures {
    /// How many there are; it is not counted beyond 100,000.
    pub count: i64,
    /// When the last of them failed.
    pub last_at: DateTime<Utc>,
    /// Why the last of them failed.
    pub last_reason: String,
}

/// All sources, by name.
pub async fn list(pool: &Pool) -> Result<Vec<Listed>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT s.name, s.merchant_column, s.id_column, s.status_column, s.kind, s.kind_sql, s.data_columns, s.text_columns,
               s.data_sql, s.condition, s.on_insert, s.on_update, s.on_failure, s.compare_role, s.made_at_column,
               attached.name AS "table?", namesake.name AS "namesake?", coalesce(members.partitions, 0) AS "partitions!",
               coalesce(members.silent, '{}') AS "silent!",
               CASE WHEN attached.name IS NOT NULL
                    THEN (SELECT string_agg(quote_ident(wanted.name), ', ') FROM unnest(s.columns_read) AS wanted (name)
                           WHERE NOT EXISTS (SELECT FROM pg_attribute a
                                              WHERE a.attrelid = s.relation AND a.attname = wanted.name
                                                AND a.attnum > 0 AND NOT a.attisdropped)) END AS missing_columns,
               failures.count AS "failures!", last.failed_at AS "last_at?", last.reason AS "last_reason?"
          FROM posthorn.sources s
          LEFT JOIN LATERAL (
               SELECT format('%I.%I', n.nspname, c.relname) AS name
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.oid = s.relation) AS attached ON true
          LEFT JOIN LATERAL (
               SELECT s.table_name AS name
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE format('%I.%I', n.nspname, c.relname) = s.table_name AND c.relkind IN ('r', 'p')
                  AND c.oid <> s.relation) AS namesake ON true
          LEFT JOIN LATERAL (
               SELECT count(*) FILTER (WHERE c.oid <> s.relation) AS partitions,
                      array_agg(format('%I.%I', n.nspname, c.relname) ORDER BY c.relispartition, c.relname)
                          FILTER (WHERE triggers.firing < 3 * (s.on_insert::int + s.on_update::int)) AS silent
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                CROSS JOIN LATERAL (
                      SELECT count(*) AS firing FROM pg_trigger t
                       WHERE t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A')
                         AND (t.tgfoid = (SELECT p.oid FROM pg_proc p
                                            WHERE p.pronamespace = 'posthorn'::regnamespace AND p.proname = 'source_' || s.name)
                              OR t.tgfoid IN ('posthorn.open_source_statement()'::regprocedure,
                                              'posthorn.append_source_rows()'::regprocedure)
                                 AND t.tgargs = convert_to(s.name, getdatabaseencoding()) || '\x00')) AS triggers
                WHERE c.oid IN (WITH RECURSIVE tree (oid) AS (
                                    -- By the catalog: pg_partition_tree waits for whoever alters one of them.
                                    SELECT s.relation::oid
                                    UNION ALL
                                    SELECT i.inhrelid FROM pg_inherits i JOIN tree ON tree.oid = i.inhparent
                                      JOIN pg_class p ON p.oid = i.inhrelid AND p.relispartition)
                               SELECT tree.oid FROM tree)) AS members ON true
         CROSS JOIN LATERAL (
               SELECT count(*) FROM (SELECT FROM posthorn.source_failures f
                                      WHERE f.source = s.name LIMIT $1) AS first) AS failures
          LEFT JOIN LATERAL (
               SELECT f.failed_at, f.reason FROM posthorn.source_failures f
                WHERE f.source = s.name ORDER BY f.id DESC LIMIT 1) AS last ON true
         ORDER BY s.name
        "#,
        MOST_FAILURES
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::listed).collect()
}

/// A row of `posthorn.sources`, with what the catalog and the failures say of it.
struct Row {
    name: String,
    merchant_column: String,
    id_column: String,
    status_column: String,
    kind: Option<String>,
    kind_sql: Option<String>,
    data_columns: Option<Vec<String>>,
    text_columns: Vec<String>,
    data_sql: Option<String>,
    condition: Option<String>,
    on_insert: bool,
    on_update: bool,
    on_failure: String,
    compare_role: Option<String>,
    made_at_column: Option<String>,
    table: Option<String>,
    namesake: Option<String>,
    partitions: i64,
    silent: Vec<String>,
    missing_columns: Option<String>,
    failures: i64,
    last_at: Option<DateTime<Utc>>,
    last_reason: Option<String>,
}

impl Row {
    fn listed(self) -> Result<Listed, StoreError> {
        let source = Source {
            name: self.name,
            merchant: self.merchant_column,
            id: self.id_column,
            status: self.status_column,
            kind: kind_of(self.kind, self.kind_sql)?,
            data: match (self.data_columns, self.data_sql) {
                (Some(columns), _) => Data::Columns(columns),
                (None, Some(sql)) => Data::Sql(sql),
                (None, None) => Data::Row,
            },
            texts: self.text_columns,
            when: self.condition,
            on: On {
                insert: self.on_insert,
                update: self.on_update,
            },
            on_failure: on_failure_of(&self.on_failure)?,
            compare: self.compare_role.map(|role| Compare {
                role,
                made_at: self.made_at_column,
            }),
        };
        let last = self.last_at.zip(self.last_reason);
        Ok(Listed {
            source,
            table: self.table,
            namesake: self.namesake,
            partitions: self.partitions,
            missing_columns: self.missing_columns,
            silent: self.silent,
            failures: last.map(|(last_at, last_reason)| Failures {
                count: self.failures,
                last_at,
                last_reason,
            }),
        })
    }
}

/// The kind of a source: it has a text or an expression.
pub fn kind_of(text: Option<String>, sql: Option<String>) -> Result<Kind, StoreError> {
    text.map(Kind::Text)
        .or(sql.map(Kind::Sql))
        .ok_or(StoreError::Unreadable("a source's kind"))
}

fn on_failure_of(text: &str) -> Result<OnFailure, StoreError> {
    [OnFailure::Block, OnFailure::Record]
        .into_iter()
        .find(|choice| choice.as_str() == text)
        .ok_or(StoreError::Unreadable("a source's on_failure"))
}

/// Changes of all sources that became no event; at most 100,000.
pub async fn count_failures(pool: &Pool) -> Result<u64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (SELECT FROM posthorn.source_failures LIMIT $1) AS first"#,
        MOST_FAILURES
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The settings of roles and databases by which their sessions fire no triggers, as the
/// statements that take them back.
pub async fn silencing_settings(pool: &Pool) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"
        SELECT concat('ALTER ', CASE WHEN r.oid IS NULL THEN format('DATABASE %I', current_database())
                                     WHEN s.setdatabase = 0 THEN format('ROLE %I', r.rolname)
                                     ELSE format('ROLE %I IN DATABASE %I', r.rolname, current_database()) END,
                      ' RESET session_replication_role') AS "statement!"
          FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
         WHERE 'session_replication_role=replica' = ANY (s.setconfig)
           AND (s.setdatabase = 0 OR s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
         ORDER BY 1
        "#
    )
    .fetch_all(pool)
    .await?)
}
