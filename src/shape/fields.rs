//! What travels: the members of a message, before an encoding writes them.

use std::borrow::Cow;

use chrono::SecondsFormat;

use super::Unsendable;
use super::json::{Json, Kind};
use crate::model::Event;
use crate::model::subscription::{Field, FieldSource, OmitWhen};

/// One named value of a message, in the order of the wire.
pub struct Member<'a> {
    pub name: Cow<'a, str>,
    pub value: Value<'a>,
}

pub enum Value<'a> {
    Text(Cow<'a, str>),
    Count(u32),
    /// A part of the published data, with its type and its number text.
    Json(&'a Json<'a>),
}

/// The members of the published object as they are, repeated names included.
pub fn identity<'a>(data: Option<&'a Json<'a>>) -> Result<Vec<Member<'a>>, Unsendable> {
    let found = match data.map(|data| &data.kind) {
        Some(Kind::Object(members)) => {
            return Ok(members
                .iter()
                .map(|(name, value)| Member {
                    name: name.text(),
                    value: Value::Json(value),
                })
                .collect());
        }
        Some(Kind::List(_)) => "a list",
        Some(Kind::Text(_)) => "a text",
        Some(Kind::Number(_)) => "a number",
        Some(Kind::Bool(_)) => "true or false",
        Some(Kind::Null) | None => "null",
    };
    Err(Unsendable::NotAnObject { found })
}

/// The members that the field map names. `data` may be none if no field points into it.
pub fn mapped<'a>(
    fields: &'a [Field],
    event: &'a Event,
    data: Option<&'a Json<'a>>,
    attempt: u32,
) -> Result<Vec<Member<'a>>, Unsendable> {
    let mut members = Vec::with_capacity(fields.len());
    for field in fields {
        let value = match &field.source {
            FieldSource::EventId => Some(owned(event.id.to_string())),
            FieldSource::Merchant => Some(borrowed(&event.merchant)),
            FieldSource::Kind => Some(borrowed(&event.kind)),
            FieldSource::TransactionId => Some(borrowed(&event.transaction_id)),
            FieldSource::Status => Some(borrowed(&event.status)),
            FieldSource::CreatedAt => Some(owned(
                event
                    .created_at
                    .to_rfc3339_opts(SecondsFormat::Micros, true),
            )),
            FieldSource::Attempt => Some(Value::Count(attempt)),
            FieldSource::Literal(text) => Some(borrowed(text)),
            FieldSource::Pointer(pointer) => {
                let value = data.and_then(|data| data.at(pointer));
                if value.is_none() && field.omit_when == OmitWhen::Never {
                    return Err(Unsendable::Missing {
                        field: field.name.clone(),
                        pointer: pointer.clone(),
                    });
                }
                value.map(Value::Json)
            }
        };
        if let Some(value) = value
            && !is_omitted(&value, field.omit_when)
        {
            members.push(Member {
                name: Cow::Borrowed(&field.name),
                value: translated(value, &field.map),
            });
        }
    }
    Ok(members)
}

impl Value<'_> {
    /// The value as one piece of text, as a form carries it: `null` is empty. None for
    /// an object or a list.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Count(count) => Some(Cow::Owned(count.to_string())),
            Self::Json(json) => json.text(),
        }
    }
}

fn borrowed(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn owned(text: String) -> Value<'static> {
    Value::Text(Cow::Owned(text))
}

/// Judges the source's value, before the value map.
fn is_omitted(value: &Value<'_>, when: OmitWhen) -> bool {
    let is_null = matches!(value, Value::Json(json) if matches!(json.kind, Kind::Null));
    match when {
        OmitWhen::Never | OmitWhen::Missing => false,
        OmitWhen::Null => is_null,
        OmitWhen::Empty => value.text().is_some_and(|text| text.is_empty()),
    }
}

/// Puts the text beside a value found in `map` in its place; the rest passes through
/// with its type (WIRE.md 4.2: an unknown status is sent as it is).
fn translated<'a>(value: Value<'a>, map: &'a [(String, String)]) -> Value<'a> {
    if map.is_empty() {
        return value;
    }
    let found = value
        .text()
        .and_then(|text| map.iter().find(|(from, _)| *from == *text));
    match found {
        Some((_, to)) => borrowed(to),
        None => value,
    }
}
