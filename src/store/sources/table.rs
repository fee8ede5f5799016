//! What the catalog says of a table that is to become a source.

use sqlx::PgConnection;
use sqlx::error::DatabaseError;
use sqlx::postgres::types::Oid;

use super::SourceFailed;
use crate::model::Source;
use crate::model::source::Data;

/// A table that can be a source. Names are quoted where SQL needs it.
#[derive(Debug)]
pub struct Table {
    /// Its number in the catalog.
    pub oid: Oid,
    /// The table's name with its schema.
    pub name: String,
    /// The names of its columns, unquoted.
    pub columns: Vec<String>,
    /// The columns that are computed when they are read: a trigger sees NULL.
    pub virtual_columns: Vec<String>,
    /// The primary key.
    pub key: Vec<KeyColumn>,
    /// The table itself first, then its partitions: a statement that names a partition
    /// fires the partition's triggers only.
    pub members: Vec<String>,
}

/// A column of the primary key.
#[derive(Debug)]
pub struct KeyColumn {
    /// The column's name, unquoted.
    pub name: String,
    /// The operator by which the key's index takes two values to be the same, with its schema:
    /// the types of extensions have their own.
    pub equals: String,
}

/// A relation as the catalog has it.
struct Found {
    oid: Oid,
    name: String,
    schema: String,
    kind: String,
    persistence: String,
    root: Option<String>,
    inherits: bool,
    columns: Vec<String>,
    virtual_columns: Vec<String>,
}

impl Found {
    /// Why it can be no source, with the remedy; nothing is said of its key.
    fn fault(&self) -> Option<String> {
        let fault = match (self.kind.as_str(), &self.root) {
            _ if self.schema == "posthorn" => "is Posthorn's own; name a table of the application",
            ("v" | "m", _) => "is a view; name the table that it reads",
            ("f", _) => "is a foreign table; attach it where its rows are written",
            (kind, _) if !["r", "p"].contains(&kind) => "is no table; name one",
            _ if self.persistence == "t" => {
                "is a temporary table, of one session only; name a lasting one"
            }
            (_, Some(root)) => return Some(format!("is a partition of {root}; name that")),
            _ if self.inherits => {
                "has parents or children by INHERITS, whose rows its triggers cannot tell apart; \
                 make them partitions"
            }
            _ => return None,
        };
        Some(fault.to_owned())
    }
}

/// Finds a table by the name that SQL would know it by, and refuses what cannot be a
/// source.
pub async fn find_table(connection: &mut PgConnection, name: &str) -> Result<Table, SourceFailed> {
    let found = sqlx::query_as!(
        Found,
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
               ARRAY(SELECT a.attname::text FROM pg_attribute a
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attgenerated = 'v'
                      ORDER BY a.attnum) AS "virtual_columns!"
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid = to_regclass($1)
        "#,
        name
    )
    .fetch_optional(&mut *connection)
    .await
    .or_else(no_name)?;
    let Some(found) = found else {
        return Err(SourceFailed::NoTable(name.to_owned()));
    };
    if let Some(fault) = found.fault() {
        return Err(SourceFailed::NotATable(found.name, fault));
    }
    let key = find_key(connection, found.oid).await?;
    if key.is_empty() {
        let fault = "has no primary key, by which a row's old and new status are told to be of one row; \
                     give it one with ALTER TABLE … ADD PRIMARY KEY";
        return Err(SourceFailed::NotATable(found.name, fault.to_owned()));
    }
    Ok(Table {
        members: find_members(connection, found.oid).await?,
        oid: found.oid,
        name: found.name,
        columns: found.columns,
        virtual_columns: found.virtual_columns,
        key,
    })
}

/// A text that can be no table's name, such as the name of a source, names none.
pub fn no_name<T>(error: sqlx::Error) -> Result<Option<T>, sqlx::Error> {
    match error.as_database_error().and_then(DatabaseError::code) {
        // invalid_name, syntax_error
        Some(code) if ["42602", "42601"].contains(&&*code) => Ok(None),
        _ => Err(error),
    }
}

async fn find_key(
    connection: &mut PgConnection,
    table: Oid,
) -> Result<Vec<KeyColumn>, SourceFailed> {
    // Without what the index only includes. 3: equality, of a btree.
    Ok(sqlx::query_as!(
        KeyColumn,
        r#"
        SELECT a.attname::text AS "name!",
               coalesce((SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
                           FROM pg_opclass c
                           JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
                           JOIN pg_amop s ON s.amopfamily = c.opcfamily AND s.amopstrategy = 3
                                         AND s.amoplefttype = c.opcintype AND s.amoprighttype = c.opcintype
                           JOIN pg_operator o ON o.oid = s.amopopr
                           JOIN pg_namespace n ON n.oid = o.oprnamespace AND n.nspname <> 'pg_catalog'
                          WHERE c.oid = k.opclass), '=') AS "equals!"
          FROM pg_index i
         CROSS JOIN unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS k (attnum, opclass, n)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE i.indrelid = $1 AND i.indisprimary AND k.n <= i.indnkeyatts
         ORDER BY a.attnum
        "#,
        table
    )
    .fetch_all(connection)
    .await?)
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
    /// Whether no column that the source reads is NULL to a trigger.
    pub fn computes_none_of(&self, source: &Source, read: &[String]) -> Result<(), SourceFailed> {
        let seen = |column: &&String| source.data == Data::Row || read.contains(column);
        match self.virtual_columns.iter().find(seen) {
            Some(column) => Err(SourceFailed::Virtual {
                column: column.clone(),
                table: self.name.clone(),
            }),
            None => Ok(()),
        }
    }

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
        named.extend(source.texts.iter().map(|column| ("--data", column)));
        let made_at = source.compare.iter().flat_map(|compare| &compare.made_at);
        named.extend(made_at.map(|column| ("--made-at", column)));
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
