//! The trigger function of a source.

use super::quote::{array, dollars, identifier, literal};
use super::table::Table;
use crate::model::Source;
use crate::model::source::{Data, Kind, OnFailure};

/// Quoted, in the schema `posthorn`.
pub fn function_name(source: &str) -> String {
    format!("posthorn.{}", identifier(&format!("source_{source}")))
}

/// The statement that makes the function, or replaces it.
///
/// - It runs with its owner's rights and a fixed search path: who changes the table needs
///   no right on Posthorn's.
/// - The plan of a statement without parameters is kept for the session, with the number
///   of rows that its first run had. Nested loops, right for one row, would take hours
///   for 100,000: they are switched off, and a hash join is right for both.
/// - `use_column`: `new` and `old` are the transition tables, not plpgsql's variables,
///   which have no value in a statement trigger.
/// - Only `--on-failure record` has an EXCEPTION clause, because that is a
///   subtransaction for each statement (docs/decisions/0014-statement-triggers.md).
pub fn create_function(source: &Source, table: &Table, columns: &[String]) -> String {
    let body = match source.on_failure {
        OnFailure::Block => blocking(source, table, columns),
        OnFailure::Record => recording(source, table, columns),
    };
    format!(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_nestloop = off SET enable_hashjoin = on SET jit = off
AS {body};\n",
        name = function_name(&source.name),
        body = dollars(&format!("\n#variable_conflict use_column\n{body}")),
    )
}

fn blocking(source: &Source, table: &Table, columns: &[String]) -> String {
    format!(
        "BEGIN
{append}
    RETURN NULL;
END ",
        append = append_all(source, table, columns)
    )
}

/// First everything at once. If that fails, a mistake in the names concerns all rows. Any
/// other may be of one row: the rows are taken in pieces, smaller ones until the bad row
/// is alone, so that the others get their events. (Chunks, because an array of all rows
/// might be larger than PostgreSQL allows.)
fn recording(source: &Source, table: &Table, columns: &[String]) -> String {
    format!(
        "DECLARE
    chunks refcursor;
    chunk record;
    at int;
    size int;
BEGIN
    BEGIN
{append_all}
    RETURN NULL;
    EXCEPTION WHEN OTHERS THEN
        IF SQLSTATE LIKE '40%' THEN
            RAISE; -- A deadlock or a conflict ends the whole transaction; the caller tries again.
        ELSIF SQLSTATE LIKE '42%' THEN
            PERFORM posthorn.record_source_failure({name}, TG_RELID, TG_OP, changed.row, SQLSTATE, SQLERRM)
               FROM (SELECT row_to_json(new.*) AS row FROM new) AS changed;
            RETURN NULL;
        END IF;
    END;
    IF TG_OP = 'INSERT' THEN
        OPEN chunks FOR {inserted};
    ELSE
        OPEN chunks FOR {updated};
    END IF;
    LOOP
        FETCH chunks INTO chunk;
        EXIT WHEN NOT FOUND;
        at := 1;
        size := cardinality(chunk.after);
        WHILE at <= cardinality(chunk.after) LOOP
        BEGIN
{append_piece}
            at := at + size;
            size := size * 2;
        EXCEPTION WHEN OTHERS THEN
            IF SQLSTATE LIKE '40%' THEN
                RAISE;
            ELSIF size > 1 THEN
                size := size / 2;
            ELSE
                PERFORM posthorn.record_source_failure({name}, TG_RELID, TG_OP, chunk.after[at], SQLSTATE, SQLERRM);
                at := at + 1;
            END IF;
        END;
        END LOOP;
    END LOOP;
    RETURN NULL;
END ",
        name = literal(&source.name),
        append_all = append_all(source, table, columns),
        inserted = Rows::inserted(source).in_chunks(),
        updated = Rows::updated(source, table).in_chunks(),
        append_piece = append(source, &Rows::piece(table)),
    )
}

fn append_all(source: &Source, table: &Table, columns: &[String]) -> String {
    format!(
        "    IF posthorn.missing_columns(TG_RELID, {columns}) IS NOT NULL THEN
        RAISE EXCEPTION 'posthorn source %: % has no column % any more; run `posthorn source attach` again', {name},
            TG_RELID::regclass, posthorn.missing_columns(TG_RELID, {columns})
            USING ERRCODE = 'undefined_column';
    ELSIF TG_OP = 'INSERT' THEN
{insert}
    ELSE
{update}
    END IF;",
        columns = array(columns),
        name = literal(&source.name),
        insert = append(source, &Rows::inserted(source)),
        update = append(source, &Rows::updated(source, table)),
    )
}

/// Rows as they are after a statement (`new`) and were before it (`old`).
struct Rows {
    from: String,
    /// Whether a row's status changed.
    changed: String,
}

impl Rows {
    /// A new row has no old one: each column of that is NULL.
    fn inserted(source: &Source) -> Self {
        Self {
            from: "new LEFT JOIN new AS old ON false".to_owned(),
            changed: status_differs(source),
        }
    }

    /// A row whose key was not there before has no old one either. It may have got the key
    /// by this statement, as one does that moves to another partition; then the same
    /// transaction had the same status before, and nothing changed. (IN over all old rows
    /// is hashed, and only once such a row is met.)
    fn updated(source: &Source, table: &Table) -> Self {
        let kept_key = if table.key == [source.id.as_str()] {
            String::new()
        } else {
            format!(
                " AND (old.{key} IS NOT NULL OR ((new.{id}::text, new.{status}::text)
                       IN (SELECT moved.{id}::text, moved.{status}::text FROM old AS moved)) IS NOT TRUE)",
                key = identifier(&table.key[0]),
                id = identifier(&source.id),
                status = identifier(&source.status),
            )
        };
        Self {
            from: new_beside_old(table, "new", "old"),
            changed: status_differs(source) + &kept_key,
        }
    }

    /// The next changes of a chunk.
    fn piece(table: &Table) -> Self {
        let row = |json: &str| format!("json_populate_record(NULL::{}, {json})", table.name);
        Self {
            from: format!(
                "unnest(chunk.after[at : at + size - 1], chunk.before[at : at + size - 1]) AS piece (after, before)
                 CROSS JOIN {} AS new CROSS JOIN {} AS old",
                row("piece.after"),
                row("piece.before")
            ),
            changed: "true".to_owned(),
        }
    }

    /// As arrays of at most 1,000 rows.
    fn in_chunks(&self) -> String {
        format!(
            "SELECT array_agg(rows.after ORDER BY rows.n) AS after, array_agg(rows.before ORDER BY rows.n) AS before
              FROM (SELECT row_number() OVER () AS n, row_to_json(new.*) AS after, row_to_json(old.*) AS before
                      FROM {}
                     WHERE {}) AS rows
             GROUP BY (rows.n - 1) / 1000 ORDER BY (rows.n - 1) / 1000",
            self.from, self.changed
        )
    }
}

fn status_differs(source: &Source) -> String {
    format!(
        "new.{status}::text IS DISTINCT FROM old.{status}::text",
        status = identifier(&source.status)
    )
}

/// Two tables of the same rows, joined by the primary key.
pub fn new_beside_old(table: &Table, new: &str, old: &str) -> String {
    let same: Vec<String> = table
        .key
        .iter()
        .map(|column| identifier(column))
        .map(|column| format!("old.{column} = new.{column}"))
        .collect();
    format!(
        "{new} AS new LEFT JOIN {old} AS old ON {}",
        same.join(" AND ")
    )
}

/// Appends the events of rows. Each value is made once, in the inner query, which OFFSET 0
/// keeps apart, and looked at in the outer one. SQL of the operator's ends with a line, for
/// it may end with a comment.
fn append(source: &Source, rows: &Rows) -> String {
    let name = literal(&source.name);
    let text = |what: &str, value: &str| {
        let what = literal(what);
        format!("posthorn.source_text({name}, {what}, event.{value})")
    };
    let of_column = |column: &str, value: &str| text(&format!("column {column}"), value);
    let (kind, kind_sql) = match &source.kind {
        Kind::Text(text) => (literal(text), String::new()),
        Kind::Sql(sql) => (
            text("the kind", "kind"),
            format!("({sql}\n)::text AS kind,\n                       "),
        ),
    };
    let (data, chosen) = match &source.data {
        Data::Row => ("row_to_json(new.*)".to_owned(), String::new()),
        Data::Columns(columns) => {
            let columns: Vec<String> = columns
                .iter()
                .map(|name| format!("new.{}", identifier(name)))
                .collect();
            (
                "row_to_json(chosen.*)".to_owned(),
                format!(
                    "\n                 CROSS JOIN LATERAL (SELECT {}) AS chosen",
                    columns.join(", ")
                ),
            )
        }
        Data::Sql(sql) => (format!("({sql}\n)::json"), String::new()),
    };
    let when = source
        .when
        .as_ref()
        .map_or_else(String::new, |when| format!(" AND ({when}\n)"));
    format!(
        "        INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
        SELECT {merchant},
               {kind},
               {id},
               {status},
               posthorn.source_data({name}, event.data)
          FROM (SELECT new.{merchant_column}::text AS merchant, new.{id_column}::text AS transaction_id,
                       new.{status_column}::text AS status,
                       {kind_sql}{data} AS data
                  FROM {from}{chosen}
                 WHERE {changed}{when}
                OFFSET 0) AS event;",
        from = rows.from,
        changed = rows.changed,
        merchant = of_column(&source.merchant, "merchant"),
        id = of_column(&source.id, "transaction_id"),
        status = of_column(&source.status, "status"),
        merchant_column = identifier(&source.merchant),
        id_column = identifier(&source.id),
        status_column = identifier(&source.status),
    )
}
