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

/// For one transaction. `before` are the changes that the source listens to so far.
pub fn attach(source: &Source, table: &Table, reading: &Reading, before: Option<On>) -> String {
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
        forget(&source.name),
        remember(source, table, &reading.columns),
    ]
    .into_iter()
    .chain(triggers)
    .collect()
}

/// For one transaction. `triggers` are names of triggers with their tables, both quoted.
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

fn remember(source: &Source, table: &Table, columns: &[String]) -> String {
    let (kind, kind_sql) = match &source.kind {
        Kind::Text(text) => (Some(text.as_str()), None),
        Kind::Sql(sql) => (None, Some(sql.as_str())),
    };
    let (data_columns, data_sql) = match &source.data {
        Data::Row => (None, None),
        Data::Columns(columns) => (Some(array(columns)), None),
        Data::Sql(sql) => (None, Some(sql.as_str())),
    };
    format!(
        "INSERT INTO posthorn.sources (name, relation, table_name, merchant_column, id_column, status_column, kind, kind_sql,
                              data_columns, text_columns, data_sql, condition, on_insert, on_update, on_failure, columns_read, members)
VALUES ({name}, {relation}, {relation}, {merchant}, {id}, {status}, {kind}, {kind_sql},
        {data_columns}, {text_columns}, {data_sql}, {condition}, {on_insert}, {on_update}, {on_failure}, {columns_read}, {members}::regclass[]);\n",
        name = literal(&source.name),
        relation = literal(&table.name),
        merchant = literal(&source.merchant),
        id = literal(&source.id),
        status = literal(&source.status),
        kind = optional_literal(kind),
        kind_sql = optional_literal(kind_sql),
        data_columns = data_columns.unwrap_or_else(|| "NULL".to_owned()),
        text_columns = array(&source.texts),
        data_sql = optional_literal(data_sql),
        condition = optional_literal(source.when.as_deref()),
        on_insert = source.on.insert,
        on_update = source.on.update,
        on_failure = literal(source.on_failure.as_str()),
        columns_read = array(columns),
        members = array(&table.members),
    )
}
