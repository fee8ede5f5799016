//! Rows as JSON, an object a line.

use serde::Serialize;

pub fn lines<T: Serialize>(rows: impl IntoIterator<Item = T>) -> serde_json::Result<String> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(&row)?);
        text.push('\n');
    }
    Ok(text)
}
