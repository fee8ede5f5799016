//! How each type of setting stands in a JSON row for SQL.

use std::time::Duration;

use serde_json::{Value, json};

pub(super) trait Column {
    fn to_json(&self) -> Value;
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Column for $type {
            fn to_json(&self) -> Value {
                json!(self)
            }
        })*
    };
}

plain!(String, Value, Vec<String>, f64, i32, bool);

impl Column for Duration {
    /// An interval that PostgreSQL reads in every `IntervalStyle`.
    fn to_json(&self) -> Value {
        json!(format!(
            "{}.{:06} seconds",
            self.as_secs(),
            self.subsec_micros()
        ))
    }
}

impl Column for Vec<Duration> {
    fn to_json(&self) -> Value {
        self.iter().map(Column::to_json).collect()
    }
}
