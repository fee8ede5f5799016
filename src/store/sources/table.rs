//! What the catalog says of a table that is to become a source.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use super::SourceFailed;
use crate::model::Source;
use crate::model::source::Data;

/// A table that can be a source. Names are quoted where SQL needs it.
#[derive(Debug)]
pub struct Table {
    pub oid: Oid,
    /// With its schema.
    pub name: String,
    /// Unquoted; likewise `key`.
    pub columns: Vec<String>,
    /// The primary key.
    pub key: Vec<String>,
    /// The table itself first, then its partitions: a statement that names a partition
    /// fires the partition's triggers only.
    pub members: Vec<String>,
}

/// Finds a table by the name that SQL would know it by, and refuses what cannot be a
/// source.
pub async fn find_table(connection: &mut PgConnection, name: &str) -> Result<Table, SourceFailed> {
    let found = sqlx::query!(
        r#"
        SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS "name!", n.nspname::text AS "schema!",
               c.relkind::text AS "kind!", c.relpersistence::text AS "persistence!",
               (SELECT format('%I.%I', pn.nspname, p.relname)
                  FROM pg_class p JOIN pg_namespace pn ON pn.oid = p.relnamespace
                 WHERE c.relispartition AND p.oid = pg_partition_root(c.oid)) AS root,
               c.relkind = 'r' AND NOT c.relispartition AND EXISTS (
                   SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) AS "inherits!",
               ARRAY(SELECT a.attname::text FROM pg_attribute a
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                      ORDER BY a.attnum) AS "columns!",
               ARRAY(SELECT a.attname::text FROM pg_index i
                       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
                      WHERE i.indrelid = c.oid AND i.indisprimary
                      ORDER BY a.attnum) AS "key!"
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid = to_regclass($1)
        "#,
        name
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(found) = found else {
        return Err(SourceFailed::NoTable(name.to_owned()));
    };
    let cannot = |why: &str| Err(SourceFailed::NotATable(found.name.clone(), why.to_owned()));
    if found.schema == "posthorn" {
        return cannot("is Posthorn's own; name a table of the application");
    }
    match found.kind.as_str() {
        "r" | "p" => {}
        "v" | "m" => return cannot("is a view; name the table that it reads"),
        "f" => return cannot("is a foreign table; attach it where its rows are written"),
        _ => return cannot("is no table; name one"),
    }
    if found.persistence == "t" {
        return cannot("is a temporary table, of one session only; name a lasting one");
    }
    if let Some(root) = found.root {
        return cannot(&format!("is a partition of {root}; name that"));
    }
    if found.inherits {
        return cannot(
            "has parents or children by INHERITS, whose rows its triggers cannot tell apart; \
             make them partitions",
        );
    }
    if found.key.is_empty() {
        return cannot(
            "has no primary key, by which a row's old and new status are told to be of one row; \
             give it one with ALTER TABLE … ADD PRIMARY KEY",
        );
    }
    Ok(Table {
        members: find_members(connection, found.oid).await?,
        oid: found.oid,
        name: found.name,
        columns: found.columns,
        key: found.key,
    })
}

async fn find_members(
    connection: &mut PgConnection,
    table: Oid,
) -> Result<Vec<String>, SourceFailed> {
    // The parent first, as a writer locks them. None is a foreign table: those cannot be
    // partitions of a table with a primary key.
    Ok(sqlx::query_scalar!(
        r#"
        SELECT format('%I.%I', n.nspname, c.relname) AS "name!"
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_partition_tree($1::oid::regclass) AS t ON t.relid = c.oid
         WHERE c.oid = $1 OR t.relid IS NOT NULL
         ORDER BY coalesce(t.level, 0), 1
        "#,
        table
    )
    .fetch_all(connection)
    .await?)
}

impl Table {
    /// Whether the table has the columns that the source names.
    pub fn has_columns_of(&self, source: &Source) -> Result<(), SourceFailed> {
        let mut named = vec![
            ("--merchant", &source.merchant),
            ("--id", &source.id),
            ("--status", &source.status),
        ];
        if let Data::Columns(columns) = &source.data {
            named.extend(columns.iter().map(|column| ("--data", column)));
        }
        for (option, column) in named {
            if !self.columns.contains(column) {
                return Err(SourceFailed::NoColumn {
                    option,
                    column: column.clone(),
                    table: self.name.clone(),
                    columns: self.columns.join(", "),
                });
            }
        }
        Ok(())
    }
}
