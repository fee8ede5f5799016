//! The SQL that attaches and detaches a source: what is run is what is shown.

use super::Reading;
use super::function::{create_function, function_name};
use super::quote::{array, identifier, literal, optional_literal};
use super::table::Table;
use crate::model::Source;
use crate::model::source::{Data, Kind, On};

/// Gives up after a second of waiting for a lock rather than queue the application's
/// writers behind it; one attachment at a time.
const LOCKS: &str = "SET LOCAL lock_timeout = '1s';
DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('posthorn.sources')); END $$;
";

/// The SQL that attaches a source, for one transaction. `before` are the changes that the source
/// listens to so far; `grants` is
/// what the role that compares lacks.
pub fn attach(
    source: &Source,
    table: &Table,
    reading: &Reading,
    before: Option<On>,
    grants: &[String],
) -> String {
    let function = function_name(&source.name);
    let comment = literal(&format!(
        "Makes events of {}; see posthorn.sources.",
        table.name
    ));
    let triggers = table.members.iter().flat_map(|member| {
        TRIGGERS
            .iter()
            .filter_map(|trigger| trigger.statement(source, member, before))
    });
    [
        LOCKS.to_owned(),
        create_function(&reading.source, table, &reading.columns),
        format!("COMMENT ON FUNCTION {function}() IS {comment};\n"),
        format!("REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;\n"),
    ]
    .into_iter()
    .chain(triggers)
    // It says since when: nobody writes to the table any more who has not met the triggers.
    .chain([remember(source, table, reading)])
    .chain(grants.iter().map(|grant| format!("{grant};\n")))
    .collect()
}

/// The SQL that detaches a source, for one transaction. `triggers` are names of triggers with their
/// tables, both quoted.
pub fn detach(name: &str, triggers: &[(String, String)]) -> String {
    let drops = triggers
        .iter()
        .map(|(trigger, table)| format!("DROP TRIGGER {trigger} ON {table};\n"));
    let function = format!("DROP FUNCTION IF EXISTS {}();\n", function_name(name));
    [LOCKS.to_owned()]
        .into_iter()
        .chain(drops)
        .chain([function, forget(name)])
        .collect()
}

struct Trigger {
    operation: &'static str,
    transition: &'static str,
    wanted: fn(On) -> bool,
}

/// Two, because PostgreSQL allows a trigger with transition tables one operation.
const TRIGGERS: [Trigger; 2] = [
    Trigger {
        operation: "INSERT",
        transition: "NEW TABLE AS new",
        wanted: |on| on.insert,
    },
    Trigger {
        operation: "UPDATE",
        transition: "OLD TABLE AS old NEW TABLE AS new",
        wanted: |on| on.update,
    },
];

impl Trigger {
    /// Makes or replaces the three of a table, or takes them away if the source had them and is
    /// not to have them any more. One notes when a statement begins. PostgreSQL fires the triggers
    /// of a table in the order of their names: what the second has read is taken by the third, and
    /// by no other before it.
    fn statement(&self, source: &Source, table: &str, before: Option<On>) -> Option<String> {
        let Self {
            operation,
            transition,
            wanted,
        } = self;
        let name = format!("posthorn_{}_{}", source.name, operation.to_lowercase());
        let opens = identifier(&format!("{name}_open"));
        let appends = identifier(&format!("{name}_append"));
        let reads = identifier(&name);
        if wanted(source.on) {
            let function = function_name(&source.name);
            let argument = literal(&source.name);
            Some(format!(
                "CREATE OR REPLACE TRIGGER {opens} BEFORE {operation} ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.open_source_statement({argument});
CREATE OR REPLACE TRIGGER {reads} AFTER {operation} ON {table}
    REFERENCING {transition} FOR EACH STATEMENT EXECUTE FUNCTION {function}();
CREATE OR REPLACE TRIGGER {appends} AFTER {operation} ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION posthorn.append_source_rows({argument});\n"
            ))
        } else if before.is_some_and(wanted) {
            Some(format!(
                "DROP TRIGGER IF EXISTS {opens} ON {table};
DROP TRIGGER IF EXISTS {reads} ON {table};
DROP TRIGGER IF EXISTS {appends} ON {table};\n"
            ))
        } else {
            None
        }
    }
}

fn forget(name: &str) -> String {
    format!(
        "DELETE FROM posthorn.sources WHERE name = {};\n",
        literal(name)
    )
}

/// Which changes are told, and of what.
const TELLING: [&str; 6] = [
    "merchant_column",
    "id_column",
    "status_column",
    "condition",
    "on_insert",
    "on_update",
];

/// Since when they are.
const SINCE: [&str; 3] = ["since", "since_xid", "since_server"];

/// A source that is attached again keeps the time since when it makes the same events, and what
/// was found by comparing as long as it is compared.
fn remember(source: &Source, table: &Table, reading: &Reading) -> String {
    let values = row_of(source, table, reading);
    let names = values.each_ref().map(|(name, _)| *name).join(", ");
    let written = values
        .each_ref()
        .map(|(_, value)| value.as_str())
        .join(", ");
    let same = TELLING.map(|name| format!("s.{name} IS NOT DISTINCT FROM excluded.{name}"));
    let same = same.join(" AND ");
    let again: Vec<String> = values
        .iter()
        .filter(|(name, _)| !["name", "since_server"].contains(name))
        .map(|(name, _)| format!("{name} = excluded.{name}"))
        .chain(SINCE.map(|name| {
            format!("{name} = CASE WHEN {same} THEN s.{name} ELSE excluded.{name} END")
        }))
        .collect();
    let forgets = if source.compare.is_some() {
        String::new()
    } else {
        format!(
            "DELETE FROM posthorn.source_comparisons WHERE source = {};\n",
            literal(&source.name)
        )
    };
    format!(
        "INSERT INTO posthorn.sources AS s ({names})
VALUES ({written})
    ON CONFLICT (name) DO UPDATE SET {};\n{forgets}",
        again.join(", ")
    )
}

/// The columns of the source's row, and the SQL of their values.
fn row_of(source: &Source, table: &Table, reading: &Reading) -> [(&'static str, String); 23] {
    let (kind, kind_sql) = match &source.kind {
        Kind::Text(text) => (Some(text.as_str()), None),
        Kind::Sql(sql) => (None, Some(sql.as_str())),
    };
    let kind_read = match &reading.source.kind {
        Kind::Text(_) => None,
        Kind::Sql(sql) => Some(sql.as_str()),
    };
    let (data_columns, data_sql) = match &source.data {
        Data::Row => (None, None),
        Data::Columns(columns) => (Some(array(columns)), None),
        Data::Sql(sql) => (None, Some(sql.as_str())),
    };
    let compare = source.compare.as_ref();
    [
        ("name", literal(&source.name)),
        ("relation", literal(&table.name)),
        ("table_name", literal(&table.name)),
        ("merchant_column", literal(&source.merchant)),
        ("id_column", literal(&source.id)),
        ("status_column", literal(&source.status)),
        ("kind", optional_literal(kind)),
        ("kind_sql", optional_literal(kind_sql)),
        ("kind_read", optional_literal(kind_read)),
        (
            "data_columns",
            data_columns.unwrap_or_else(|| "NULL".to_owned()),
        ),
        ("text_columns", array(&source.texts)),
        ("data_sql", optional_literal(data_sql)),
        ("condition", optional_literal(source.when.as_deref())),
        (
            "condition_read",
            optional_literal(reading.source.when.as_deref()),
        ),
        ("on_insert", source.on.insert.to_string()),
        ("on_update", source.on.update.to_string()),
        ("on_failure", literal(source.on_failure.as_str())),
        (
            "compare_role",
            optional_literal(compare.map(|compare| compare.role.as_str())),
        ),
        (
            "made_at_column",
            optional_literal(compare.and_then(|compare| compare.made_at.as_deref())),
        ),
        ("columns_read", array(&reading.columns)),
        ("members", format!("{}::regclass[]", array(&table.members))),
        ("attached_at", "DEFAULT".to_owned()),
        (
            "since_server",
            "(SELECT system_identifier FROM pg_control_system())".to_owned(),
        ),
    ]
}
