//! What one TOML value means; a refusal says the shape found and the remedy.

use std::time::Duration;

use serde_json::{Number, Value};
use toml::de::DeValue;

use crate::model::settings::quoted;

/// Says what the value is, without showing it.
pub(super) fn shape(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a section or inline table",
    }
}

pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(format!("{}; give text in quotes", shape(value))),
    }
}

/// Reads text that names something: neither empty nor with control characters in it.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err("empty text; give a name".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("a name with a control character; give one on one line".to_owned());
    }
    Ok(text)
}

/// Reads the name of a file's owner: it stands in a column and in messages, so it is short and
/// plain.
pub(super) fn owner(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err("not a name of 1 to 64 letters, digits, '.', '_' and '-'; give one".to_owned());
    }
    Ok(text)
}

pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("{}; give true or false, without quotes", shape(value)))
}

pub(super) fn whole(value: &DeValue<'_>) -> Result<i64, String> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| "too large; give a smaller whole number".to_owned()),
        _ => Err(format!(
            "{}; give a whole number, without quotes",
            shape(value)
        )),
    }
}

pub(super) fn whole_i32(value: &DeValue<'_>) -> Result<i32, String> {
    i32::try_from(whole(value)?).map_err(|_| "too large; give a smaller whole number".to_owned())
}

pub(super) fn number(value: &DeValue<'_>) -> Result<f64, String> {
    let text = match value {
        // Decimal text of an integer in another radix would be read wrongly as it stands.
        DeValue::Integer(_) => whole(value)?.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        _ => return Err(format!("{}; give a number, without quotes", shape(value))),
    };
    text.parse()
        .map_err(|_| "a number that cannot be read; give one such as 2.5".to_owned())
}

/// Reads a duration in the spelling of `humantime`, such as `1h 30m`.
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, String> {
    const REMEDY: &str =
        "give a duration from zero up in quotes, such as \"30m\", \"10s\" or \"5ms\"";
    let DeValue::String(text) = value else {
        return Err(format!("{}; {REMEDY}", shape(value)));
    };
    humantime::parse_duration(text)
        .map_err(|_| format!("{} is not a duration; {REMEDY}", quoted(text)))
}

/// Gives the value as the JSON that the same setting is in SQL.
pub(super) fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(_) => Value::from(whole(value)?),
        DeValue::Float(_) => Number::from_f64(number(value)?)
            .map(Value::Number)
            .ok_or("infinity or not a number; give a number")?,
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(_) => return Err("a date or time; give it as text in quotes".to_owned()),
        DeValue::Array(entries) => entries
            .iter()
            .map(|entry| json(entry.get_ref()))
            .collect::<Result<_, _>>()
            .map(Value::Array)?,
        DeValue::Table(entries) => entries
            .iter()
            .map(|(key, entry)| Ok((key.get_ref().to_string(), json(entry.get_ref())?)))
            .collect::<Result<_, String>>()
            .map(Value::Object)?,
    })
}
