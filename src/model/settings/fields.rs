//! The field map: which values travel, under which names, in which order.

use serde_json::{Map, Value};

use super::spelled::{is_pointer, is_xml_name};
use super::{Problem, format, quoted};
use crate::model::{Field, FieldSource, OmitWhen};

const SOURCES: &str = "event_id, merchant, kind, transaction_id, status, created_at, delivery_id, \
                       attempt, time, security_token, literal:TEXT, or a JSON pointer such as \
                       /payment/amount";

/// Reads the fields of a JSON array of `{"name", "source", "map"?, "format"?, "omit_when"?}`. With
/// `xml`, each name must be able to name an element.
pub(super) fn check(value: &Value, xml: bool, problems: &mut Vec<Problem>) -> Option<Vec<Field>> {
    let before = problems.len();
    let mut refuse = |message: String| problems.push(Problem::new("fields", message));
    let Value::Array(entries) = value else {
        refuse("not an array; give an array of {name, source}".to_owned());
        return None;
    };
    if entries.is_empty() {
        refuse("an empty array; leave it out to send the data as it is".to_owned());
    }
    let mut fields: Vec<Field> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let Some(field) = field(entry, |message| {
            refuse(format!("field {}: {message}", index + 1));
        }) else {
            continue;
        };
        let name = quoted(&field.name);
        if let Some(first) = fields.iter().position(|other| other.name == field.name) {
            refuse(format!(
                "fields {} and {} are both named {name}; give each its own name",
                first + 1,
                index + 1
            ));
        }
        if xml && !is_xml_name(&field.name) {
            refuse(format!(
                "field {}: {name} is not an XML name; give a letter or _, then letters, digits, - _ or .",
                index + 1
            ));
        }
        fields.push(field);
    }
    (problems.len() == before).then_some(fields)
}

/// Reads one entry. Where a part of it is refused, the rest is read on, so that all of its problems
/// show at once; the caller drops the whole then.
#[expect(
    clippy::too_many_lines,
    reason = "it is one list of what a field can be"
)]
fn field(entry: &Value, mut refuse: impl FnMut(String)) -> Option<Field> {
    let Value::Object(entry) = entry else {
        refuse("not an object; give {name, source}".to_owned());
        return None;
    };
    for key in entry.keys() {
        if !["name", "source", "map", "format", "omit_when"].contains(&key.as_str()) {
            let key = quoted(key);
            refuse(format!(
                "{key} is not known; give name, source, map, format or omit_when"
            ));
        }
    }
    let name = match entry.get("name") {
        Some(Value::String(name)) if !name.is_empty() && !name.chars().any(char::is_control) => {
            name.clone()
        }
        _ => {
            refuse(
                "the name is missing, empty or not text; give the name that the receiver expects"
                    .to_owned(),
            );
            return None;
        }
    };
    let source = entry.get("source").and_then(Value::as_str).and_then(source);
    if source.is_none() {
        refuse(format!(
            "the source is missing or not known; give {SOURCES}"
        ));
    }
    let map = match entry.get("map") {
        None => Some(Vec::new()),
        Some(Value::Object(map)) => replacements(map),
        Some(_) => None,
    };
    if map.is_none() {
        refuse(
            "the map is not an object of texts or numbers; give {\"found\" = \"sent\"}".to_owned(),
        );
    }
    let format = match entry.get("format").map(format::check) {
        None => Vec::new(),
        Some(Ok(format)) => format,
        Some(Err(message)) => {
            refuse(message);
            Vec::new()
        }
    };
    let omit_when = match entry.get("omit_when").map(Value::as_str) {
        None => Some(OmitWhen::default()),
        Some(Some("never")) => Some(OmitWhen::Never),
        Some(Some("missing")) => Some(OmitWhen::Missing),
        Some(Some("null")) => Some(OmitWhen::Null),
        Some(Some("empty")) => Some(OmitWhen::Empty),
        Some(_) => None,
    };
    if omit_when.is_none() {
        refuse("omit_when is not a choice; give never, missing, null or empty".to_owned());
    }
    Some(Field {
        name,
        source: source.unwrap_or(FieldSource::EventId),
        map: map.unwrap_or_default(),
        format,
        omit_when: omit_when.unwrap_or_default(),
    })
}

fn source(text: &str) -> Option<FieldSource> {
    Some(match text {
        "event_id" => FieldSource::EventId,
        "merchant" => FieldSource::Merchant,
        "kind" => FieldSource::Kind,
        "transaction_id" => FieldSource::TransactionId,
        "status" => FieldSource::Status,
        "created_at" => FieldSource::CreatedAt,
        "delivery_id" => FieldSource::DeliveryId,
        "attempt" => FieldSource::Attempt,
        "time" => FieldSource::Time,
        "security_token" => FieldSource::SecurityToken,
        _ => {
            if let Some(literal) = text.strip_prefix("literal:") {
                FieldSource::Literal(literal.to_owned())
            } else if is_pointer(text) {
                FieldSource::Pointer(text.to_owned())
            } else {
                return None;
            }
        }
    })
}

fn replacements(map: &Map<String, Value>) -> Option<Vec<(String, String)>> {
    map.iter()
        .map(|(found, sent)| match sent {
            Value::String(sent) => Some((found.clone(), sent.clone())),
            Value::Number(sent) => Some((found.clone(), sent.to_string())),
            _ => None,
        })
        .collect()
}
