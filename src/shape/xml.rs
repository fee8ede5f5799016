//! XML 1.0, well-formed whatever was published.

use std::borrow::Cow;

use super::fields::{Member, Value};
use super::json::{Json, Kind, Quoted};
use super::{MAX_ENCODED_BYTES, Unsendable};
use crate::model::subscription::XmlIllegal;

const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// The element of a list's item that has no name of its own: a list within a list.
const ITEM: &str = "item";

/// Parsers limit names (libxml2 to 50,000 bytes); the attribute has no such limit.
const LONGEST_NAME: usize = 1000;

/// One element for each member under the element `root`. An object nests its members,
/// a list repeats its element for each item (none for an empty list), and `null` is an
/// empty element. A name that cannot name an element is made safe by [`element_name`], and
/// stands as it is in the attribute `name`.
pub fn write_document(
    root: &str,
    members: &[Member<'_>],
    illegal: XmlIllegal,
) -> Result<String, Unsendable> {
    let root = element_name(root);
    let mut document = Document(format!("{DECLARATION}<{root}>"));
    for member in members {
        if illegal == XmlIllegal::Refuse
            && let Some(code_point) = illegal_in(member)
        {
            let place = member.place();
            return Err(Unsendable::NotXml { place, code_point });
        }
        match &member.value {
            Value::Json(json) => document.write_json(&member.name, json)?,
            value => document.write_leaf(&member.name, &value.text().unwrap_or_default())?,
        }
    }
    document.close(&root);
    Ok(document.0)
}

/// The first code point in names or texts that XML cannot carry.
fn illegal_in(member: &Member<'_>) -> Option<u32> {
    let name = member.published.and_then(|(_, name)| illegal_text(name));
    name.or_else(|| match &member.value {
        Value::Json(json) => illegal_json(json),
        value => {
            let illegal = value.text()?.chars().find(|&it| !is_legal(it))?;
            Some(illegal.into())
        }
    })
}

fn illegal_json(json: &Json<'_>) -> Option<u32> {
    match &json.kind {
        Kind::Text(text) => illegal_text(*text),
        Kind::List(items) => items.iter().find_map(illegal_json),
        Kind::Object(members) => members
            .iter()
            .find_map(|(name, value)| illegal_text(*name).or_else(|| illegal_json(value))),
        _ => None,
    }
}

fn illegal_text(text: Quoted<'_>) -> Option<u32> {
    text.characters().find_map(|character| match character {
        Ok(legal) if is_legal(legal) => None,
        Ok(illegal) => Some(illegal.into()),
        Err(half) => Some(half.into()),
    })
}

struct Document(String);

impl Document {
    fn write_json(&mut self, name: &str, json: &Json<'_>) -> Result<(), Unsendable> {
        match &json.kind {
            Kind::Object(members) => {
                let element = self.open(name)?;
                for (inner, value) in members {
                    self.write_json(&inner.text(), value)?;
                }
                self.close(&element);
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
            let element = self.open(name)?;
            self.write_json(ITEM, item)?;
            self.close(&element);
            Ok(())
        } else {
            self.write_json(name, item)
        }
    }

    fn write_leaf(&mut self, name: &str, text: &str) -> Result<(), Unsendable> {
        let element = self.open(name)?;
        for character in text.chars() {
            self.write_character(character);
        }
        self.close(&element);
        Ok(())
    }

    /// Gives the element's name, for its end.
    fn open<'n>(&mut self, name: &'n str) -> Result<Cow<'n, str>, Unsendable> {
        if self.0.len() + name.len() > MAX_ENCODED_BYTES {
            return Err(Unsendable::EncodedTooLong);
        }
        let element = element_name(name);
        self.0.push('<');
        self.0.push_str(&element);
        if *element != *name {
            self.0.push_str(" name=\"");
            for character in name.chars() {
                match character {
                    '"' => self.0.push_str("&quot;"),
                    // Bare, a parser would read them as spaces (section 3.3.3).
                    '\n' => self.0.push_str("&#10;"),
                    '\t' => self.0.push_str("&#9;"),
                    other => self.write_character(other),
                }
            }
            self.0.push('"');
        }
        self.0.push('>');
        Ok(element)
    }

    fn close(&mut self, element: &str) {
        self.0.push_str("</");
        self.0.push_str(element);
        self.0.push('>');
    }

    fn write_character(&mut self, character: char) {
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

/// `Char` of XML 1.0, section 2.2: nothing else can stand in a document, not even
/// escaped.
const fn is_legal(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// `name` as an XML name: each character that no name may have becomes `_` (the colon
/// too, which would announce a namespace), and `_` goes before a first character that
/// may not come first, before the reserved `xml`, and stands for an empty name. Of a very
/// long name the beginning.
fn element_name(name: &str) -> Cow<'_, str> {
    let starts_well = name.chars().next().is_some_and(is_name_start);
    let is_reserved = name
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("xml"));
    let is_long = name.len() > LONGEST_NAME;
    if starts_well && !is_reserved && !is_long && name.chars().all(is_name_part) {
        return Cow::Borrowed(name);
    }
    let mut safe = String::with_capacity(name.len().min(LONGEST_NAME) + 1);
    let first_is_replaced = name
        .chars()
        .next()
        .is_some_and(|first| !is_name_part(first));
    if is_reserved || !(starts_well || first_is_replaced) {
        safe.push('_');
    }
    safe.extend(
        name.chars()
            .take(LONGEST_NAME / char::MAX.len_utf8())
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
