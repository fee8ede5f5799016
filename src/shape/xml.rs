//! XML 1.0, well-formed whatever was published.

use std::borrow::Cow;

use super::fields::{Member, Value};
use super::json::{Json, Kind};
use super::{MAX_ENCODED_BYTES, Unsendable};

const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// The element of a list's item that has no name of its own: a list within a list.
const ITEM: &str = "item";

/// One element for each member under the element `root`. An object nests its members,
/// a list repeats its element for each item (none for an empty list), and `null` is an
/// empty element. Names are made safe by [`element_name`].
pub fn write_document(root: &str, members: &[Member<'_>]) -> Result<String, Unsendable> {
    let root = element_name(root);
    let mut document = Document(String::from(DECLARATION));
    document.open(&root)?;
    for member in members {
        let name = element_name(&member.name);
        match &member.value {
            Value::Json(json) => document.write_json(&name, json)?,
            value => document.write_leaf(&name, &value.text().unwrap_or_default())?,
        }
    }
    document.close(&root);
    Ok(document.0)
}

struct Document(String);

impl Document {
    fn write_json(&mut self, name: &str, json: &Json<'_>) -> Result<(), Unsendable> {
        match &json.kind {
            Kind::Object(members) => {
                self.open(name)?;
                for (inner, value) in members {
                    self.write_json(&element_name(&inner.text()), value)?;
                }
                self.close(name);
            }
            Kind::List(items) => {
                for item in items {
                    self.write_item(name, item)?;
                }
            }
            _ => self.write_leaf(name, &json.text().unwrap_or_default())?,
        }
        Ok(())
    }

    fn write_item(&mut self, name: &str, item: &Json<'_>) -> Result<(), Unsendable> {
        if let Kind::List(_) = item.kind {
            self.open(name)?;
            self.write_json(ITEM, item)?;
            self.close(name);
            Ok(())
        } else {
            self.write_json(name, item)
        }
    }

    fn write_leaf(&mut self, name: &str, text: &str) -> Result<(), Unsendable> {
        self.open(name)?;
        self.write_text(text);
        self.close(name);
        Ok(())
    }

    fn open(&mut self, name: &str) -> Result<(), Unsendable> {
        if self.0.len() + name.len() > MAX_ENCODED_BYTES {
            return Err(Unsendable::EncodedTooLong);
        }
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        Ok(())
    }

    fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    fn write_text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '<' => self.0.push_str("&lt;"),
                // Only `]]>` must be escaped; escaping each is simpler and allowed.
                '>' => self.0.push_str("&gt;"),
                '&' => self.0.push_str("&amp;"),
                // A parser would read a bare one as a line feed.
                '\r' => self.0.push_str("&#13;"),
                legal if is_legal(legal) => self.0.push(legal),
                _ => self.0.push(char::REPLACEMENT_CHARACTER),
            }
        }
    }
}

/// `Char` of XML 1.0, section 2.2: nothing else can stand in a document, not even
/// escaped.
const fn is_legal(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// `name` as an XML name: each character that no name may have becomes `_` (the colon
/// too, which would announce a namespace), and `_` goes before a first character that
/// may not come first, before the reserved `xml`, and stands for an empty name.
fn element_name(name: &str) -> Cow<'_, str> {
    let starts_well = name.chars().next().is_some_and(is_name_start);
    let is_reserved = name
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("xml"));
    if starts_well && !is_reserved && name.chars().all(is_name_part) {
        return Cow::Borrowed(name);
    }
    let mut safe = String::with_capacity(name.len() + 1);
    let first_is_replaced = name
        .chars()
        .next()
        .is_some_and(|first| !is_name_part(first));
    if is_reserved || !(starts_well || first_is_replaced) {
        safe.push('_');
    }
    safe.extend(
        name.chars()
            .map(|part| if is_name_part(part) { part } else { '_' }),
    );
    Cow::Owned(safe)
}

/// `NameStartChar` of XML 1.0, section 2.3, without the colon.
const fn is_name_start(character: char) -> bool {
    matches!(character,
        'A'..='Z' | 'a'..='z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// `NameChar` of the same section, without the colon.
const fn is_name_part(character: char) -> bool {
    is_name_start(character)
        || matches!(character,
            '-' | '.' | '0'..='9' | '\u{B7}'
            | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}
