//! The steps of a field's format (docs/WIRE-FORMS.md, "Formats").

use std::borrow::Cow;
use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};

use super::currency;
use super::decimal::Decimal;
use super::json;
use super::member::Value;
use super::parser;
use super::tree::{Json, Kind};
use crate::model::{Decimals, Step};

/// What was found in place of a value that fits a step.
#[derive(Clone, Copy)]
pub enum Misfit {
    Value(&'static str),
    /// There is no currency, whatever the value is.
    Currency(&'static str),
}

impl From<&'static str> for Misfit {
    fn from(found: &'static str) -> Self {
        Self::Value(found)
    }
}

/// Puts a value through one step. `data` is what was published, for steps that need the currency.
pub fn apply<'a>(
    value: Value<'a>,
    step: &Step,
    data: Option<&Json<'_>>,
) -> Result<Value<'a>, Misfit> {
    let places = |decimals: &Decimals| match decimals {
        Decimals::Fixed(places) => Ok(*places),
        Decimals::OfCurrency(pointer) => {
            currency::decimals(data, pointer).map_err(Misfit::Currency)
        }
    };
    Ok(match step {
        Step::Text => Value::Text(scalar(value)?),
        Step::Json => Value::Text(json_text(value)),
        Step::Upper => owned(text(&value)?.to_uppercase()),
        Step::Lower => owned(text(&value)?.to_lowercase()),
        Step::Boolean => match &*scalar(value)? {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(Misfit::Value("a value that is neither true nor false")),
        },
        Step::Number => Value::Number(number(value)?),
        Step::Decimal(decimals) => digits(decimal(value)?.fixed(places(decimals)?)?),
        Step::Minor(decimals) => {
            let places = places(decimals)?;
            digits(decimal(value)?.times_ten_to(places.into()).fixed(0)?)
        }
        Step::Major(decimals) => {
            let places = places(decimals)?;
            let major = decimal(value)?.times_ten_to(-i64::from(places));
            digits(major.fixed(places)?)
        }
        Step::Rfc3339(places) => {
            let precision = match places {
                0 => SecondsFormat::Secs,
                3 => SecondsFormat::Millis,
                6 => SecondsFormat::Micros,
                _ => SecondsFormat::Nanos,
            };
            owned(time(&value)?.to_rfc3339_opts(precision, true))
        }
        Step::Unix => digits(time(&value)?.timestamp().to_string()),
        Step::UnixMillis => digits(time(&value)?.timestamp_millis().to_string()),
        Step::Time(pattern) => {
            let mut out = String::new();
            write!(out, "{}", time(&value)?.format(pattern))
                .map_err(|_| "a time that the pattern cannot show")?;
            owned(out)
        }
    })
}

fn owned(text: String) -> Value<'static> {
    Value::Text(Cow::Owned(text))
}

fn digits(digits: String) -> Value<'static> {
    Value::Number(Cow::Owned(digits))
}

/// Gives the text of anything but `null`, an object or a list.
fn scalar(value: Value<'_>) -> Result<Cow<'_, str>, &'static str> {
    match value {
        Value::Text(text) | Value::Number(text) => Ok(text),
        Value::Bool(true) => Ok(Cow::Borrowed("true")),
        Value::Bool(false) => Ok(Cow::Borrowed("false")),
        Value::Json(json) => match json.kind {
            Kind::Null => Err("null"),
            Kind::Object(_) => Err("an object"),
            Kind::List(_) => Err("a list"),
            _ => Ok(json.text().unwrap_or_default()),
        },
    }
}

fn text<'v>(value: &'v Value<'_>) -> Result<Cow<'v, str>, &'static str> {
    match value {
        Value::Text(text) => Ok(Cow::Borrowed(text)),
        Value::Number(_) => Err("a number"),
        Value::Bool(_) => Err("true or false"),
        Value::Json(json) => match &json.kind {
            Kind::Text(quoted) => Ok(quoted.text()),
            Kind::Null => Err("null"),
            Kind::Bool(_) => Err("true or false"),
            Kind::Number(_) => Err("a number"),
            Kind::List(_) => Err("a list"),
            Kind::Object(_) => Err("an object"),
        },
    }
}

/// Reads a number, or a text that is one as JSON writes it.
fn number(value: Value<'_>) -> Result<Cow<'_, str>, &'static str> {
    let text = scalar(value)?;
    if parser::is_number(&text) {
        Ok(text)
    } else {
        Err("a value that is not a number")
    }
}

fn decimal(value: Value<'_>) -> Result<Decimal, &'static str> {
    Decimal::of(&number(value)?)
}

/// Reads a time in RFC 3339; a leap second becomes the one before.
fn time(value: &Value<'_>) -> Result<DateTime<Utc>, &'static str> {
    DateTime::parse_from_rfc3339(&text(value)?)
        .map(|time| time.to_utc())
        .map_err(|_| "text that is not an RFC 3339 time with its offset")
}

/// Gives the JSON text of a value as it was published, or as JSON writes what came from elsewhere.
fn json_text(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::Json(json) => Cow::Borrowed(json.raw),
        Value::Number(digits) => digits,
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Text(text) => {
            let mut out = String::with_capacity(text.len() + 2);
            json::write_text(&mut out, &text);
            Cow::Owned(out)
        }
    }
}
