//! `application/x-www-form-urlencoded` by the WHATWG URL standard, in the receiver's dialect:
//! the NVP body and the query of a GET.

use std::borrow::Cow;

use form_urlencoded::Serializer;

use super::member::{Member, Value};
use super::tree::{Json, Kind};
use super::{MAX_ENCODED_BYTES, Unsendable};
use crate::model::Charset;
use crate::model::subscription::{Nested, Space};

/// What receivers of forms do not agree on.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    pub nested: Nested,
    pub space: Space,
    pub charset: Charset,
}

/// Writes `name=value` pairs in order. With names for what is nested (`payer.name`, `payer[name]`),
/// `null`, `{}` and `[]` are empty values, so that no field is lost.
pub fn write(members: &[Member<'_>], dialect: Dialect) -> Result<String, Unsendable> {
    let encode: &dyn Fn(&str) -> Cow<'_, [u8]> = &|text| dialect.charset.encode(text);
    let mut pairs = Serializer::new(String::new());
    if dialect.charset != Charset::Utf8 {
        pairs.encoding_override(Some(encode));
    }
    let mut form = Form {
        pairs,
        dialect,
        length: 0,
        name: String::new(),
        unfit: None,
    };
    for member in members {
        form.name.clear();
        form.name.push_str(&member.name);
        match (&member.value, member.value.text()) {
            (_, Some(text)) => form.write_pair(&text)?,
            (Value::Json(json), None) => match dialect.nested {
                Nested::Dotted | Nested::Brackets => form.write_json(json)?,
                Nested::Json => form.write_pair(json.raw)?,
                Nested::Refuse => {
                    return Err(Unsendable::Nested {
                        place: member.place(),
                    });
                }
            },
            (_, None) => {}
        }
        if let Some(unfit) = form.unfit {
            return Err(Unsendable::NotInCharset {
                place: member.place(),
                code_point: unfit.into(),
                charset: dialect.charset.name(),
            });
        }
    }
    let written = form.pairs.finish();
    Ok(match dialect.space {
        Space::Plus => written,
        // A plus sign that was there is %2B.
        Space::Percent => written.replace('+', "%20"),
    })
}

struct Form<'a> {
    pairs: Serializer<'a, String>,
    dialect: Dialect,
    /// The length of the pairs before escaping, in bytes.
    length: usize,
    /// The whole name of the value at hand.
    name: String,
    /// The first character that the charset does not have.
    unfit: Option<char>,
}

impl Form<'_> {
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
        let (before, behind) = match self.dialect.nested {
            Nested::Brackets => ("[", "]"),
            _ => (".", ""),
        };
        for part in [before, name, behind] {
            self.name.push_str(part);
        }
        self.write_json(value)?;
        self.name.truncate(outer);
        Ok(())
    }

    fn write_pair(&mut self, value: &str) -> Result<(), Unsendable> {
        self.length += self.name.len() + value.len();
        if self.length > MAX_ENCODED_BYTES {
            return Err(Unsendable::EncodedTooLong);
        }
        let mut characters = self.name.chars().chain(value.chars());
        let unfit = characters.find(|it| !self.dialect.charset.has(*it));
        self.unfit = self.unfit.or(unfit);
        self.pairs.append_pair(&self.name, value);
        Ok(())
    }
}
