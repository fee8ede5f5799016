//! What is known of a source whose table is to be compared with its events.

use chrono::{DateTime, Utc};
use sqlx::postgres::types::Oid;

use super::listed::kind_of;
use crate::model::source::Kind;
use crate::store::{Pool, StoreError};

/// A source, and how far back its table and the log tell the same story.
#[derive(Debug)]
pub struct Comparable {
    pub name: String,
    pub relation: Oid,
    /// Quoted, with its schema.
    pub table: String,
    pub is_partitioned: bool,
    /// Who is to read it.
    pub role: String,
    pub merchant: String,
    pub id: String,
    pub status: String,
    /// SQL in it is as the source's function has it; so is `when`.
    pub kind: Kind,
    pub when: Option<String>,
    /// None: no row is known to need an event.
    pub made_at: Option<String>,
    pub expected: Expected,
    /// Events of before tell of other changes.
    pub since: DateTime<Utc>,
    /// A row that was made since then has its event in the log.
    pub told_since: DateTime<Utc>,
    /// Rows that an earlier transaction wrote last are of before the source or before the events
    /// that are kept; none: all rows are looked at.
    pub xid_since: Option<i64>,
    /// The server's system identifier, and the number of the database in it.
    pub server: i64,
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
    let rows = sqlx::query!(
        r#"
        SELECT s.name, s.relation::oid AS "relation!: Oid", s.compare_role AS "role!", s.merchant_column, s.id_column,
               s.status_column, s.kind, s.kind_read, s.condition_read, s.made_at_column, s.on_insert, s.on_update, s.since,
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
            let Some(table) = row.table else {
                return Ok((row.name, Err("its table was dropped".to_owned())));
            };
            if !row.is_table {
                return Ok((row.name, Err(format!("{table} is no table any more"))));
            }
            if let Some(others) = row.others {
                let role = row.role;
                let why = format!(
                    "its role {role} reads {others} as well, which has another owner: attach it with a role of its own"
                );
                return Ok((row.name, Err(why)));
            }
            let comparable = Comparable {
                is_partitioned: row.is_partitioned,
                name: row.name.clone(),
                relation: row.relation,
                table,
                role: row.role,
                merchant: row.merchant_column,
                id: row.id_column,
                status: row.status_column,
                kind: kind_of(row.kind, row.kind_read)?,
                when: row.condition_read,
                made_at: row.made_at_column,
                expected: match (row.on_update, row.is_unique) {
                    (true, true) => Expected::Latest,
                    (true, false) => Expected::Told,
                    (false, _) => Expected::Known,
                },
                since: row.since,
                told_since: row.told_since,
                xid_since: row.xid_since,
                server: row.server,
                database: row.database,
            };
            Ok((row.name, Ok(comparable)))
        })
        .collect()
}
