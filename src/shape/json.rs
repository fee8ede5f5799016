//! Writes a message as a JSON object.

use std::fmt::Write;

use super::member::{Member, Value};

/// Writes the members as one object. What was published is copied as it stands.
pub fn write_object(members: &[Member<'_>]) -> String {
    let mut out = String::with_capacity(32 * (members.len() + 1));
    for (position, member) in members.iter().enumerate() {
        out.push(if position == 0 { '{' } else { ',' });
        write_text(&mut out, &member.name);
        out.push(':');
        match &member.value {
            Value::Text(text) => write_text(&mut out, text),
            Value::Number(digits) => out.push_str(digits),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Json(json) => out.push_str(json.raw),
        }
    }
    if members.is_empty() {
        out.push('{');
    }
    out.push('}');
    out
}

pub fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}
