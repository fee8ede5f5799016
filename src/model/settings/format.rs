//! The format of a field: what is made of its value, step by step.

use chrono::format::{Item, StrftimeItems};
use serde_json::Value;

use super::spelled::is_pointer;
use super::{quoted, within};
use crate::model::{Decimals, Step};

const STEPS: &str = "text, number, boolean, json, upper, lower, decimal:N, minor:N, major:N \
                     (N: a number of decimals, or a JSON pointer to the currency), rfc3339, rfc3339:N, unix, unix_ms or time:PATTERN";

/// The most decimals that a step may ask for: more than any currency has.
const MOST_DECIMALS: u8 = 18;

/// Reads a format: one step as text, or several as an array of them.
pub(super) fn check(value: &Value) -> Result<Vec<Step>, String> {
    let one = std::slice::from_ref(value);
    let steps = value.as_array().map_or(one, Vec::as_slice);
    if steps.is_empty() {
        return Err("the format is an empty array; leave it out".to_owned());
    }
    steps
        .iter()
        .map(|entry| match entry.as_str() {
            Some(text) => step(text),
            None => Err(format!(
                "the format is not text; give {STEPS}, or an array of them"
            )),
        })
        .collect()
}

fn step(text: &str) -> Result<Step, String> {
    let (name, argument) = match text.split_once(':') {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    };
    Ok(match (name, argument) {
        ("text", None) => Step::Text,
        ("number", None) => Step::Number,
        ("boolean", None) => Step::Boolean,
        ("json", None) => Step::Json,
        ("upper", None) => Step::Upper,
        ("lower", None) => Step::Lower,
        ("decimal", Some(digits)) => Step::Decimal(decimals(text, digits)?),
        ("minor", Some(digits)) => Step::Minor(decimals(text, digits)?),
        ("major", Some(digits)) => Step::Major(decimals(text, digits)?),
        ("rfc3339", None) => Step::Rfc3339(0),
        ("rfc3339", Some("3")) => Step::Rfc3339(3),
        ("rfc3339", Some("6")) => Step::Rfc3339(6),
        ("rfc3339", Some("9")) => Step::Rfc3339(9),
        ("unix", None) => Step::Unix,
        ("unix_ms", None) => Step::UnixMillis,
        ("time", Some(pattern)) => Step::Time(time_pattern(pattern)?),
        _ => {
            let text = quoted(text);
            return Err(format!("the format {text} is not known; give {STEPS}"));
        }
    })
}

fn decimals(step: &str, text: &str) -> Result<Decimals, String> {
    if is_pointer(text) {
        return Ok(Decimals::OfCurrency(text.to_owned()));
    }
    let digits = text.parse().map_err(|_| {
        format!(
            "the format {} has no number of decimals, nor a JSON pointer to the currency; give \
             one such as decimal:2 or minor:/payment/currency",
            quoted(step)
        )
    })?;
    within(
        digits,
        &(0..=MOST_DECIMALS),
        "a number of decimals",
        u8::to_string,
    )
    .map(Decimals::Fixed)
    .map_err(|problem| format!("the format's {problem}"))
}

fn time_pattern(pattern: &str) -> Result<String, String> {
    let mut items = StrftimeItems::new(pattern);
    if pattern.is_empty() || items.any(|item| matches!(item, Item::Error)) {
        return Err(format!(
            "the format's pattern {} is not one of strftime; give one such as time:%Y-%m-%d %H:%M:%S",
            quoted(pattern)
        ));
    }
    Ok(pattern.to_owned())
}
