//! What to think of before a table becomes a source.

use sqlx::PgConnection;

use super::table::Table;
use crate::model::Source;
use crate::model::source::Data;

/// About the columns that travel, a sentence each.
pub async fn notes(
    connection: &mut PgConnection,
    source: &Source,
    table: &Table,
) -> Result<Vec<String>, sqlx::Error> {
    let named = match &source.data {
        Data::Sql(_) => return Ok(vec![]),
        Data::Row => &table.columns,
        Data::Columns(columns) => columns,
    };
    // A numeric of 15 digits fits into the 53 bits of a JavaScript number. Whether there are long
    // texts the table's TOAST tells: it holds what is too long for a page.
    let columns = sqlx::query_as!(
        Column,
        r#"
        SELECT a.attname::text AS "name!",
               coalesce(b.oid = 'int8'::regtype
                        OR b.oid = 'numeric'::regtype AND (m.typmod < 0 OR ((m.typmod - 4) >> 16) & 65535 > 15), false) AS "long!",
               b.typlen = -1 AND b.oid <> 'numeric'::regtype AND m.typmod < 0
               AND (b.oid IN ('bytea'::regtype, 'xml'::regtype, 'json'::regtype, 'jsonb'::regtype)
                    OR EXISTS (SELECT FROM pg_class c
                                WHERE (c.oid = a.attrelid OR c.oid IN (SELECT relid FROM pg_partition_tree(a.attrelid)))
                                  AND c.reltoastrelid <> 0 AND pg_relation_size(c.reltoastrelid) > 0)) AS "wide!"
          FROM pg_attribute a
          JOIN pg_type t ON t.oid = a.atttypid
          JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
         CROSS JOIN LATERAL (SELECT CASE WHEN a.atttypmod < 0 THEN t.typtypmod ELSE a.atttypmod END AS typmod) AS m
         WHERE a.attrelid = $1 AND a.attname = ANY ($2::text[]) AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attnum
        "#,
        table.oid,
        named
    )
    .fetch_all(connection)
    .await?;
    let name = |column: &Column| column.name.clone();
    let wide: Vec<String> = columns.iter().filter(|it| it.wide).map(name).collect();
    let is_rounded = |column: &&Column| column.long && !source.texts.contains(&column.name);
    let rounded: Vec<String> = columns.iter().filter(is_rounded).map(name).collect();
    Ok([of_wide(&wide), of_rounded(&rounded, source)]
        .into_iter()
        .flatten()
        .collect())
}

struct Column {
    name: String,
    /// A number that may have more than 15 digits.
    long: bool,
    /// A text of any length, and perhaps a long one.
    wide: bool,
}

fn of_wide(columns: &[String]) -> Option<String> {
    (!columns.is_empty()).then(|| {
        format!(
            "{} can be of any length: an event whose data has more than worker.max_data_bytes ends as a posting error, and \
             a change with more than 1 MiB is recorded in posthorn.source_failures and makes no event; --data names the \
             columns that travel",
            columns.join(", ")
        )
    })
}

fn of_rounded(columns: &[String], source: &Source) -> Option<String> {
    (!columns.is_empty()).then(|| {
        let texts: Vec<String> = columns.iter().map(|name| format!("{name}:text")).collect();
        let row = if source.data == Data::Row { "*," } else { "" };
        format!(
            "{} can hold numbers of more than 53 bits, which JavaScript rounds; --data '{row}{}' sends them as text",
            columns.join(", "),
            texts.join(",")
        )
    })
}
