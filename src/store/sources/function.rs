//! The trigger function of a source.

use super::quote::{array, dollars, identifier, literal};
use super::session;
use super::table::Table;
use super::values::Values;
use crate::model::Source;
use crate::model::source::OnFailure;

/// The most bytes that an event's data may have: a CHECK of `posthorn.events`.
const MOST_DATA: usize = 1_048_576;

/// Rows whose values are handed over together. An array of all rows might be larger than
/// PostgreSQL allows (1 GB), and so many rows of 200 KB each fit.
const PART: usize = 5000;

/// The name of a source's function, quoted, in the schema `posthorn`.
pub fn function_name(source: &str) -> String {
    format!("posthorn.{}", identifier(&format!("source_{source}")))
}

/// The statement that makes the function, or replaces it.
///
/// - It runs with the rights of whoever changes the table, and touches nothing of
///   Posthorn's: what the rows' types, their casts and the source's own expressions call
///   belongs to the application. It leaves text in settings of the transaction, for
///   `posthorn.append_source_rows`, the trigger right behind it
///   (docs/decisions/0036-a-source-reads-with-the-rights-of-the-writer.md).
/// - The plan of a statement without parameters is kept for the session, with the number
///   of rows that its first run had. Nested loops, right for one row, would take hours
///   for 100,000: they are switched off, and a hash join is right for both.
/// - `use_column`: `new` and `old` are the transition tables, not plpgsql's variables,
///   which have no value in a statement trigger. The block's own variables go by its name:
///   the table may have columns of theirs.
/// - Only `--on-failure record` has an EXCEPTION clause, because that is a
///   subtransaction for each statement (docs/decisions/0014-statement-triggers.md).
pub fn create_function(source: &Source, table: &Table, columns: &[String]) -> String {
    let (variables, body) = match source.on_failure {
        OnFailure::Block => ("", blocking(source, table)),
        OnFailure::Record => (RECORDING, recording(source, table)),
    };
    let text = format!(
        "
#variable_conflict use_column
<<source>>
DECLARE
    slot text := format('posthorn.source_%s_%s', md5({name}), pg_trigger_depth());
    parts int := 0;
    left_now int;
    missing text := (
        SELECT string_agg(quote_ident(wanted.name), ', ') FROM unnest({columns}) AS wanted (name)
         WHERE NOT EXISTS (SELECT FROM pg_attribute a
                            WHERE a.attrelid = TG_RELID AND a.attname = wanted.name
                              AND a.attnum > 0 AND NOT a.attisdropped));
{variables}BEGIN
{body}    RETURN NULL;
END ",
        name = literal(&source.name),
        columns = array(columns),
    );
    format!(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger
    LANGUAGE plpgsql SECURITY INVOKER
    SET search_path = {path}
    SET enable_nestloop = off SET enable_hashjoin = on SET jit = off
   {pinned}
AS {body};\n",
        name = function_name(&source.name),
        path = session::SEARCH_PATH,
        pinned = session::clauses(),
        body = dollars(&text),
    )
}

fn blocking(source: &Source, table: &Table) -> String {
    format!(
        "{leave_all}    PERFORM set_config(source.slot, source.parts || ' 0', true);\n",
        leave_all = leave_all(source, table)
    )
}

/// What only `--on-failure record` needs.
const RECORDING: &str = "    chunks refcursor;
    chunk record;
    at int;
    size int;
    failed_keys text[] := '{}';
    failed_states text[] := '{}';
    failed_messages text[] := '{}';
";

/// First everything at once. If that fails, a mistake in the names concerns all rows. Any
/// other may be of one row: the rows are taken in pieces, smaller ones until the bad row
/// is alone, so that the others get their events.
// Over 60 lines, as it is one text.
fn recording(source: &Source, table: &Table) -> String {
    format!(
        "    BEGIN
{leave_all}    PERFORM set_config(source.slot, source.parts || ' 0', true);
    RETURN NULL;
    EXCEPTION WHEN OTHERS THEN
        IF SQLSTATE LIKE '40%' THEN
            RAISE; -- A deadlock or a conflict ends the whole transaction; the caller tries again.
        ELSIF SQLSTATE LIKE '42%' THEN
            PERFORM set_config(format('%s_%s_failed_keys', source.slot, part.number), part.keys, true),
                    set_config(format('%s_%s_failed_states', source.slot, part.number), part.states, true),
                    set_config(format('%s_%s_failed_messages', source.slot, part.number), part.messages, true)
               FROM (SELECT (changed.n - 1) / {PART} AS number,
                            array_agg(changed.row ORDER BY changed.n)::text AS keys,
                            array_agg(SQLSTATE)::text AS states, array_agg(SQLERRM)::text AS messages
                       FROM (SELECT row_number() OVER () AS n, row_to_json(new.*)::text AS row FROM new) AS changed
                      GROUP BY 1) AS part;
            GET DIAGNOSTICS left_now = ROW_COUNT;
            PERFORM set_config(source.slot, '0 ' || source.left_now, true);
            RETURN NULL;
        END IF;
    END;
    parts := 0;
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
{leave_piece}            at := at + size;
            size := size * 2;
        EXCEPTION WHEN OTHERS THEN
            IF SQLSTATE LIKE '40%' THEN
                RAISE;
            ELSIF size > 1 THEN
                size := size / 2;
            ELSE
                failed_keys := failed_keys || chunk.after[at]::text;
                failed_states := failed_states || SQLSTATE;
                failed_messages := failed_messages || SQLERRM;
                at := at + 1;
            END IF;
        END;
        END LOOP;
    END LOOP;
    PERFORM set_config(source.slot || '_0_failed_keys', source.failed_keys::text, true),
            set_config(source.slot || '_0_failed_states', source.failed_states::text, true),
            set_config(source.slot || '_0_failed_messages', source.failed_messages::text, true),
            set_config(source.slot, source.parts || ' 1', true);
",
        leave_all = leave_all(source, table),
        inserted = Rows::inserted(source).in_chunks(),
        updated = Rows::updated(source, table).in_chunks(),
        leave_piece = leave(source, table, &Rows::piece(table)),
    )
}

fn leave_all(source: &Source, table: &Table) -> String {
    format!(
        "    IF source.missing IS NOT NULL THEN
        RAISE EXCEPTION 'posthorn source %: % has no column % any more; run `posthorn source attach` again', {name},
            TG_RELID::regclass, source.missing
            USING ERRCODE = 'undefined_column';
    ELSIF TG_OP = 'INSERT' THEN
{insert}    ELSE
{update}    END IF;\n",
        name = literal(&source.name),
        insert = leave(source, table, &Rows::inserted(source)),
        update = leave(source, table, &Rows::updated(source, table)),
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
        let kept_key = if matches!(table.key.as_slice(), [only] if only.name == source.id) {
            String::new()
        } else {
            format!(
                " AND (old.{key} IS NOT NULL OR ((new.{id}::text, new.{status}::text)
                       IN (SELECT moved.{id}::text, moved.{status}::text FROM old AS moved)) IS NOT TRUE)",
                key = identifier(&table.key[0].name),
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
                "unnest(source.chunk.after[source.at : source.at + source.size - 1],
                        source.chunk.before[source.at : source.at + source.size - 1]) AS piece (after, before)
                 CROSS JOIN {} AS new CROSS JOIN {} AS old",
                row("piece.after"),
                row("piece.before")
            ),
            changed: "true".to_owned(),
        }
    }

    /// The statement that reads the rows as arrays of at most 1,000.
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

/// The condition that the status changed: by its bytes, whatever the column's collation takes to be
/// the same.
fn status_differs(source: &Source) -> String {
    format!(
        "new.{status}::text COLLATE \"C\" IS DISTINCT FROM old.{status}::text COLLATE \"C\"",
        status = identifier(&source.status)
    )
}

/// Two tables of the same rows, joined by the primary key.
pub fn new_beside_old(table: &Table, new: &str, old: &str) -> String {
    let same: Vec<String> = table
        .key
        .iter()
        .map(|column| {
            let name = identifier(&column.name);
            format!("old.{name} {} new.{name}", column.equals)
        })
        .collect();
    format!(
        "{new} AS new LEFT JOIN {old} AS old ON {}",
        same.join(" AND ")
    )
}

/// Leaves the values of rows, each an array for so many rows. Each value is made once, in the
/// inner query, which OFFSET 0 keeps apart.
fn leave(source: &Source, table: &Table, rows: &Rows) -> String {
    let Values { of_row, chosen } = Values::of(source, table);
    let when = source
        .when
        .as_ref()
        .map_or_else(String::new, |when| format!(" AND ({when}\n)"));
    // Of data that no event can hold its size alone is handed over.
    let kept = |name: &str| match name {
        "data" => format!("CASE WHEN octet_length(event.data) <= {MOST_DATA} THEN event.data END"),
        "sizes" => format!(
            "CASE WHEN octet_length(event.data) > {MOST_DATA} THEN octet_length(event.data) END"
        ),
        _ => format!("event.{name}"),
    };
    let names = || of_row.iter().map(|(name, _)| *name).chain(["sizes"]);
    let of_each = |write: &dyn Fn(&str) -> String, between: &str| {
        names().map(write).collect::<Vec<_>>().join(between)
    };
    let of_each_row: Vec<String> = of_row
        .iter()
        .map(|(name, value)| format!("{value}::text AS {name}"))
        .collect();
    format!(
        "        PERFORM {settings}
           FROM (SELECT (event.n - 1) / {PART} AS number,
                        {arrays}
                   FROM (SELECT row_number() OVER () AS n, value.*
                           FROM (SELECT {values}
                                   FROM {from}{chosen}
                                  WHERE {changed}{when}
                                 OFFSET 0) AS value) AS event
                  GROUP BY 1) AS part;
        GET DIAGNOSTICS left_now = ROW_COUNT;
        parts := parts + left_now;\n",
        settings = of_each(
            &|name| format!(
                "set_config(format('%s_%s_{name}', source.slot, source.parts + part.number), part.{name}, true)"
            ),
            ",\n                "
        ),
        arrays = of_each(
            &|name| format!("array_agg({} ORDER BY event.n)::text AS {name}", kept(name)),
            ",\n                        "
        ),
        values = of_each_row.join(",\n                                        "),
        from = rows.from,
        changed = rows.changed,
    )
}
