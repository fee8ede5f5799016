//! Picks what travels: the members of a message, out of the event and the published data.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::format::{self, Misfit};
use super::member::{Member, Value};
use super::tree::{Json, Kind};
use super::{Moment, Unsendable};
use crate::model::delivery::delivery_id;
use crate::model::{Event, Field, FieldSource, OmitWhen, Step};

/// Takes the members of the published object as they are, repeated names included.
pub fn identity<'a>(data: Option<&'a Json<'a>>) -> Result<Vec<Member<'a>>, Unsendable> {
    let found = match data.map(|data| &data.kind) {
        Some(Kind::Object(members)) => {
            return Ok(members
                .iter()
                .zip(1..)
                .map(|((name, value), position)| Member {
                    name: name.text(),
                    value: Value::Json(value),
                    published: Some((position, *name)),
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

/// What the fields of a field map are taken from.
pub struct Sources<'a> {
    pub event: &'a Event,
    pub subscription: Uuid,
    /// The published data; none if no field points into it.
    pub data: Option<&'a Json<'a>>,
    pub moment: &'a Moment<'a>,
}

/// Takes the members that the field map names.
pub fn mapped<'a>(fields: &'a [Field], from: &Sources<'a>) -> Result<Vec<Member<'a>>, Unsendable> {
    let mut members = Vec::with_capacity(fields.len());
    for field in fields {
        let Some(value) = source(field, from)? else {
            continue;
        };
        if let Some(value) = as_sent(field, value, from.data)? {
            members.push(Member {
                name: Cow::Borrowed(&field.name),
                value,
                published: None,
            });
        }
    }
    Ok(members)
}

/// Whether the fields make the same of two statuses. Where none of them sends the status, or one
/// cannot, no two are the same.
#[must_use]
pub fn sent_alike(fields: &[Field], one: &str, other: &str) -> bool {
    let mut of_status = fields
        .iter()
        .filter(|field| field.source == FieldSource::Status)
        .peekable();
    let text = |field, status| {
        let sent = as_sent(field, borrowed(status), None).ok()?;
        Some(sent.and_then(|value| Some(value.text()?.into_owned())))
    };
    of_status.peek().is_some()
        && of_status.all(|field| {
            let (one, other) = (text(field, one), text(field, other));
            one.is_some() && one == other
        })
}

/// Gives the field's value behind its map and format; none if it is left out.
fn as_sent<'a>(
    field: &'a Field,
    value: Value<'a>,
    data: Option<&Json<'_>>,
) -> Result<Option<Value<'a>>, Unsendable> {
    if is_omitted(&value, field.omit_when) {
        return Ok(None);
    }
    let mut value = translated(value, &field.map);
    for step in &field.format {
        value = format::apply(value, step, data).map_err(|misfit| unfit(field, step, misfit))?;
    }
    Ok(Some(value))
}

fn unfit(field: &Field, step: &Step, misfit: Misfit) -> Unsendable {
    let (field, format) = (field.name.clone(), step.to_string());
    match misfit {
        Misfit::Value(found) => Unsendable::Unfit {
            field,
            found,
            format,
        },
        Misfit::Currency(found) => Unsendable::NoCurrency {
            field,
            found,
            pointer: step.currency().unwrap_or_default().to_owned(),
            format,
        },
    }
}

/// Gives the field's value as it is found; none if the field may do without.
fn source<'a>(field: &'a Field, from: &Sources<'a>) -> Result<Option<Value<'a>>, Unsendable> {
    let (event, moment) = (from.event, from.moment);
    Ok(Some(match &field.source {
        FieldSource::EventId => owned(event.id.to_string()),
        FieldSource::Merchant => borrowed(&event.merchant),
        FieldSource::Kind => borrowed(&event.kind),
        FieldSource::TransactionId => borrowed(&event.transaction_id),
        FieldSource::Status => borrowed(&event.status),
        FieldSource::CreatedAt => time(event.created_at),
        FieldSource::DeliveryId => owned(delivery_id(event.id, from.subscription).to_string()),
        FieldSource::Attempt => Value::Number(Cow::Owned(moment.attempt.to_string())),
        FieldSource::Time => time(moment.now),
        FieldSource::SecurityToken => {
            let token = moment.token_key.token(event.id, from.subscription);
            owned(token.to_string())
        }
        FieldSource::Literal(text) => borrowed(text),
        FieldSource::Pointer(pointer) => match from.data.and_then(|data| data.at(pointer)) {
            Some(value) => Value::Json(value),
            None if field.omit_when == OmitWhen::Never => {
                return Err(Unsendable::Missing {
                    field: field.name.clone(),
                    pointer: pointer.clone(),
                });
            }
            None => return Ok(None),
        },
    }))
}

fn time(time: DateTime<Utc>) -> Value<'static> {
    owned(time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn borrowed(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn owned(text: String) -> Value<'static> {
    Value::Text(Cow::Owned(text))
}

/// Whether the field is left out. It is the source's value that counts, before the value map.
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
