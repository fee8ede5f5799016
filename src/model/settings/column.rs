//! How each type of setting stands in a JSON row of SQL, and in the config file.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::duration_text;

pub(super) trait Column: Sized {
    fn to_json(&self) -> Value;
    fn of_json(value: &Value) -> Option<Self>;
    fn to_toml(&self) -> toml::Value;
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Column for $type {
            fn to_json(&self) -> Value {
                json!(self)
            }

            /// Reads the value of a column; none for `null`, which no setting is.
            fn of_json(value: &Value) -> Option<Self> {
                Option::deserialize(value).ok()?
            }

            /// Gives the value as TOML has it, and as JSON text where TOML has no such value: it
            /// lacks `null`, which no setting needs.
            fn to_toml(&self) -> toml::Value {
                toml::Value::try_from(self).unwrap_or_else(|_| json!(self).to_string().into())
            }
        })*
    };
}

plain!(String, Value, Vec<String>, f64, i32, bool);

impl Column for Duration {
    /// Writes an interval that PostgreSQL reads in every `IntervalStyle`.
    fn to_json(&self) -> Value {
        json!(format!(
            "{}.{:06} seconds",
            self.as_secs(),
            self.subsec_micros()
        ))
    }

    /// Reads an interval as PostgreSQL writes it in the style `iso_8601`, which the pool's
    /// connections have.
    fn of_json(value: &Value) -> Option<Self> {
        iso_8601(value.as_str()?)
    }

    fn to_toml(&self) -> toml::Value {
        duration_text(self).into()
    }
}

impl Column for Vec<Duration> {
    fn to_json(&self) -> Value {
        self.iter().map(Column::to_json).collect()
    }

    fn of_json(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(Column::of_json).collect()
    }

    fn to_toml(&self) -> toml::Value {
        self.iter().map(Column::to_toml).collect::<Vec<_>>().into()
    }
}

/// Reads a duration such as `P1DT2H3M4.5S`; a month is 30 days and a year 365.25, as in
/// `extract(epoch …)`.
fn iso_8601(text: &str) -> Option<Duration> {
    const DAY: f64 = 86_400.0;
    let (date, time) = text
        .strip_prefix('P')?
        .split_once('T')
        .unwrap_or((&text[1..], ""));
    let seconds = sum(
        date,
        &[
            ('Y', 365.25 * DAY),
            ('M', 30.0 * DAY),
            ('W', 7.0 * DAY),
            ('D', DAY),
        ],
    )? + sum(time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Adds up numbers that each have their unit behind them, in seconds.
fn sum(text: &str, units: &[(char, f64)]) -> Option<f64> {
    text.split_inclusive(char::is_alphabetic)
        .try_fold(0.0, |sum, part| {
            let (number, unit) = part.split_at_checked(part.len() - 1)?;
            let (_, worth) = units.iter().find(|(name, _)| unit.starts_with(*name))?;
            Some(sum + number.parse::<f64>().ok()? * worth)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_read_as_postgresql_writes_it() {
        for (text, seconds) in [
            ("PT0S", Some(0.0)),
            ("PT30M", Some(1800.0)),
            ("P3D", Some(259_200.0)),
            ("P1M2DT3H4M5.25S", Some(2_775_845.25)),
            ("P1Y", Some(31_557_600.0)),
            ("PT-5S", None),
            ("30 days", None),
            ("PT5", None),
            ("P5", None),
        ] {
            assert_eq!(
                Duration::of_json(&json!(text)),
                seconds.map(Duration::from_secs_f64),
                "{text}"
            );
        }
    }
}
