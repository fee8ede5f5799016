//! What is known of a source whose table is to be compared with its events.

use chrono::{DateTime, Utc};
use sqlx::postgres::types::Oid;

use super::listed::kind_of;
use crate::model::source::Kind;
use crate::store::{Pool, StoreError};

/// A source, and how far back its table and the log tell the same story.
#[derive(Debug)]
pub struct Comparable {
    /// The name of the source.
    pub name: String,
    /// The table, by its oid.
    pub relation: Oid,
    /// The table's name, quoted, with its schema.
    pub table: String,
    /// Whether it has partitions, which have the rows.
    pub is_partitioned: bool,
    /// The role that is to read it.
    pub role: String,
    /// The column of the merchant.
    pub merchant: String,
    /// The column of the transaction's id.
    pub id: String,
    /// The column of the status.
    pub status: String,
    /// The kind of its events; SQL in it and in `when` is as the source's function has it.
    pub kind: Kind,
    /// The condition of rows that are told of; none: all are.
    pub when: Option<String>,
    /// The column that says when a row was made; none: no row is known to need an event.
    pub made_at: Option<String>,
    /// What the log has to say of a row.
    pub expected: Expected,
    /// Events of before tell of other changes.
    pub since: DateTime<Utc>,
    /// A row that was made since then has its event in the log.
    pub told_since: DateTime<Utc>,
    /// Rows that an earlier transaction wrote last are of before the source or before the events
    /// that are kept; none: all rows are looked at.
    pub xid_since: Option<i64>,
    /// The server's system identifier.
    pub server: i64,
    /// The oid of the database.
    pub database: i64,
}

/// What the log has to say of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The row's status, as the last.
    Latest,
    /// The row's status at any time: a transaction may have several rows.
    Told,
    /// Anything: only the making of rows is told.
    Known,
}

/// The source of this name, or all, that have a role to compare by, the one that has waited longest
/// first; with the reason where the table cannot be read.
pub async fn find_comparable(
    pool: &Pool,
    name: Option<&str>,
) -> Result<Vec<(String, Result<Comparable, String>)>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT s.name, s.relation::oid AS "relation!: Oid", s.compare_role AS "role!", s.merchant_column, s.id_column,
               s.status_column, s.kind, s.kind_read, s.condition_read, s.made_at_column, s.on_update, s.since,
               attached.name AS "table?", coalesce(attached.kind = 'p', false) AS "is_partitioned!",
               coalesce(attached.kind IN ('r', 'p'), true) AS "is_table!",
               -- What one owner has defined could read by this role what is another's.
               (SELECT format('%I.%I', n.nspname, c.relname)
                  FROM posthorn.sources o JOIN pg_class c ON c.oid = o.relation JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE o.compare_role = s.compare_role AND c.relowner <> attached.owner
                 ORDER BY 1 LIMIT 1) AS others,
               -- A partitioned table's key has the column that says which partition: if that is when a row was made, a
               -- transaction has one row still.
               EXISTS (SELECT FROM pg_index i LEFT JOIN pg_partitioned_table p ON p.partrelid = i.indrelid
                        WHERE i.indrelid = s.relation AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                          AND NOT EXISTS (
                              SELECT FROM unnest((i.indkey::int2[])[0 : i.indnkeyatts - 1]) AS k (attnum)
                                LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
                               WHERE (a.attname IN (s.id_column, s.merchant_column)) IS NOT TRUE
                                 AND (a.attname = s.made_at_column AND a.attnum = ANY (p.partattrs::int2[])) IS NOT TRUE
                          )) AS "is_unique!",
               -- An hour more, for the clock of whoever made the row need not be the database's; a day more where nobody
               -- knows in which zone its time is.
               greatest(s.since, dropped.until + interval '1 hour')
               + CASE WHEN made.atttypid = 'timestamptz'::regtype THEN interval '0' ELSE interval '26 hours' END AS "told_since!",
               greatest(CASE WHEN s.since_server = here.system_identifier THEN s.since_xid::text::bigint END,
                        -- A snapshot of before the events that are kept.
                        (SELECT pg_snapshot_xmin(a.snapshot)::text::bigint FROM posthorn.audits a
                          WHERE a.started_at < dropped.until
                            AND split_part(a.cluster, '.', 1) = here.system_identifier::text
                          ORDER BY a.started_at DESC LIMIT 1)) AS xid_since,
               here.system_identifier AS "server!",
               (SELECT d.oid::bigint FROM pg_database d WHERE d.datname = current_database()) AS "database!"
          FROM posthorn.sources s
         CROSS JOIN pg_control_system() AS here
         CROSS JOIN (SELECT max(d.day) + 1 AS until FROM posthorn.dropped_days d) AS dropped
          LEFT JOIN pg_attribute made ON made.attrelid = s.relation AND made.attname = s.made_at_column
          LEFT JOIN LATERAL (
               SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind::text AS kind, c.relowner AS owner
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.oid = s.relation) AS attached ON true
         WHERE s.compare_role IS NOT NULL AND s.name = coalesce($1, s.name)
         ORDER BY (SELECT c.finished_at FROM posthorn.source_comparisons c WHERE c.source = s.name) NULLS FIRST, s.name
        "#,
        name
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let name = row.name.clone();
            Ok((name, row.comparable()?))
        })
        .collect()
}

/// A row of `posthorn.sources`, with what the catalog says of its table.
#[expect(clippy::struct_excessive_bools, reason = "they are columns of a row")]
struct Row {
    name: String,
    relation: Oid,
    role: String,
    merchant_column: String,
    id_column: String,
    status_column: String,
    kind: Option<String>,
    kind_read: Option<String>,
    condition_read: Option<String>,
    made_at_column: Option<String>,
    on_update: bool,
    since: DateTime<Utc>,
    table: Option<String>,
    is_partitioned: bool,
    is_table: bool,
    others: Option<String>,
    is_unique: bool,
    told_since: DateTime<Utc>,
    xid_since: Option<i64>,
    server: i64,
    database: i64,
}

impl Row {
    /// The source, or why its table cannot be read.
    fn comparable(self) -> Result<Result<Comparable, String>, StoreError> {
        let Some(table) = self.table else {
            return Ok(Err("its table was dropped".to_owned()));
        };
        if !self.is_table {
            return Ok(Err(format!("{table} is no table any more")));
        }
        if let Some(others) = self.others {
            let role = self.role;
            return Ok(Err(format!(
                "its role {role} reads {others} as well, which has another owner: attach it with a role of its own"
            )));
        }
        Ok(Ok(Comparable {
            is_partitioned: self.is_partitioned,
            name: self.name,
            relation: self.relation,
            table,
            role: self.role,
            merchant: self.merchant_column,
            id: self.id_column,
            status: self.status_column,
            kind: kind_of(self.kind, self.kind_read)?,
            when: self.condition_read,
            made_at: self.made_at_column,
            expected: match (self.on_update, self.is_unique) {
                (true, true) => Expected::Latest,
                (true, false) => Expected::Told,
                (false, _) => Expected::Known,
            },
            since: self.since,
            told_since: self.told_since,
            xid_since: self.xid_since,
            server: self.server,
            database: self.database,
        }))
    }
}
