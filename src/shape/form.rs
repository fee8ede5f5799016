//! `application/x-www-form-urlencoded` by the WHATWG URL standard: the NVP body and
//! the query of a GET.

use form_urlencoded::Serializer;

use super::fields::{Member, Value};
use super::json::{Json, Kind};
use super::{MAX_ENCODED_BYTES, Unsendable};
use crate::model::subscription::Nested;

/// `name=value` pairs in order. With dotted names (`payer.name`, `items.0`), `null`, `{}`
/// and `[]` are empty values, so that no field is lost.
pub fn write(members: &[Member<'_>], nested: Nested) -> Result<String, Unsendable> {
    let mut form = Form {
        pairs: Serializer::new(String::new()),
        length: 0,
        name: String::new(),
    };
    for member in members {
        form.name.clear();
        form.name.push_str(&member.name);
        match (&member.value, member.value.text()) {
            (_, Some(text)) => form.write_pair(&text)?,
            (Value::Json(json), None) => match nested {
                Nested::Dotted => form.write_json(json)?,
                Nested::Json => form.write_pair(json.raw)?,
                Nested::Refuse => {
                    return Err(Unsendable::Nested {
                        place: member.place(),
                    });
                }
            },
            (_, None) => {}
        }
    }
    Ok(form.pairs.finish())
}

struct Form {
    pairs: Serializer<'static, String>,
    /// Of the pairs before escaping.
    length: usize,
    /// The dotted name of the value at hand.
    name: String,
}

impl Form {
    fn write_json(&mut self, json: &Json<'_>) -> Result<(), Unsendable> {
        match &json.kind {
            Kind::Object(members) if !members.is_empty() => {
                for (name, value) in members {
                    self.write_nested(&name.text(), value)?;
                }
                Ok(())
            }
            Kind::List(items) if !items.is_empty() => {
                for (position, item) in items.iter().enumerate() {
                    self.write_nested(&position.to_string(), item)?;
                }
                Ok(())
            }
            _ => self.write_pair(&json.text().unwrap_or_default()),
        }
    }

    fn write_nested(&mut self, name: &str, value: &Json<'_>) -> Result<(), Unsendable> {
        let outer = self.name.len();
        self.name.push('.');
        self.name.push_str(name);
        self.write_json(value)?;
        self.name.truncate(outer);
        Ok(())
    }

    fn write_pair(&mut self, value: &str) -> Result<(), Unsendable> {
        self.length += self.name.len() + value.len();
        if self.length > MAX_ENCODED_BYTES {
            return Err(Unsendable::EncodedTooLong);
        }
        self.pairs.append_pair(&self.name, value);
        Ok(())
    }
}
