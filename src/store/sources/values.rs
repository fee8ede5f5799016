//! What a source's function hands over of each row, as SQL.

use super::quote::{array, identifier, literal};
use super::table::Table;
use crate::model::Source;
use crate::model::source::{Data, Kind};

/// The values of a row as it is after the statement, `new`.
pub struct Values {
    /// The name of each, and its SQL.
    pub of_row: Vec<(&'static str, String)>,
    /// What they need beside the row: the columns that travel, or nothing.
    pub chosen: String,
}

impl Values {
    /// SQL of the operator's ends with a line, for it may end with a comment.
    pub fn of(source: &Source, table: &Table) -> Self {
        let (data, chosen) = data_of(source);
        let key: Vec<String> = table
            .key
            .iter()
            .map(|column| format!("{}, {}", literal(&column.name), new(&column.name)))
            .collect();
        let mut of_row = vec![
            ("merchants", new(&source.merchant)),
            ("ids", new(&source.id)),
            ("statuses", new(&source.status)),
            ("data", data),
            ("keys", format!("json_build_object({})", key.join(", "))),
        ];
        if let Kind::Sql(sql) = &source.kind {
            of_row.push(("kinds", format!("({sql}\n)")));
        }
        Self { of_row, chosen }
    }
}

/// The data of the row's event, and what it needs beside the row.
fn data_of(source: &Source) -> (String, String) {
    match &source.data {
        Data::Row if source.texts.is_empty() => ("row_to_json(new.*)".to_owned(), String::new()),
        Data::Row => (
            format!(
                "(SELECT json_object_agg(field.key, CASE WHEN field.key = ANY ({texts}) THEN to_json(field.value #>> '{{}}')
                                                     ELSE field.value END)
                                   FROM json_each(row_to_json(new.*)) AS field)",
                texts = array(&source.texts)
            ),
            String::new(),
        ),
        Data::Columns(columns) => {
            let columns: Vec<String> = columns
                .iter()
                .map(|column| {
                    if source.texts.contains(column) {
                        format!("to_json({}) #>> '{{}}' AS {}", new(column), identifier(column))
                    } else {
                        new(column)
                    }
                })
                .collect();
            (
                "row_to_json(chosen.*)".to_owned(),
                format!(
                    "\n                               CROSS JOIN LATERAL (SELECT {}) AS chosen",
                    columns.join(", ")
                ),
            )
        }
        Data::Sql(sql) => (format!("({sql}\n)::json"), String::new()),
    }
}

fn new(column: &str) -> String {
    format!("new.{}", identifier(column))
}
