//! XML 1.0, well-formed whatever was published.

use std::borrow::Cow;
use std::fmt::Write;

use super::member::{Member, Value};
use super::tree::{Json, Kind, Quoted};
use super::{MAX_ENCODED_BYTES, Unsendable};
use crate::model::Charset;
use crate::model::subscription::{RequestForm, XmlIllegal};

/// The element of a list's item that has no name of its own: a list within a list.
const ITEM: &str = "item";

/// The longest name of an element. Parsers limit names (libxml2 to 50,000 bytes); the attribute has
/// no such limit.
const LONGEST_NAME: usize = 1000;

/// Writes a document with one element for each member under the form's root. The declaration names
/// the charset in which the document is to be sent, which has all of its characters. An object
/// nests its members, a list repeats its element for each item (none for an empty list), and `null`
/// is an empty element. A name that cannot name an element is made safe by [`element_name`], and
/// stands as it is in the attribute `name`.
pub fn write_document(form: &RequestForm, members: &[Member<'_>]) -> Result<String, Unsendable> {
    let root = element_name(&form.xml_root);
    let charset = form.charset;
    let encoding = charset.name().to_ascii_uppercase();
    let mut document = Document {
        text: format!(r#"<?xml version="1.0" encoding="{encoding}"?><{root}>"#),
        charset,
    };
    for member in members {
        if form.xml_illegal == XmlIllegal::Refuse
            && let Some(code_point) = first_in(member, |it| !it.is_ok_and(is_legal))
        {
            let place = member.place();
            return Err(Unsendable::NotXml { place, code_point });
        }
        // What is no character of XML is replaced, by one that can always be written.
        let unfit = |it: Character| it.is_ok_and(|it| is_legal(it) && !charset.has(it));
        if charset != Charset::Utf8
            && let Some(code_point) = first_in(member, unfit)
        {
            return Err(Unsendable::NotInCharset {
                place: member.place(),
                code_point,
                charset: charset.name(),
            });
        }
        match &member.value {
            Value::Json(json) => document.write_json(&member.name, json)?,
            value => document.write_leaf(&member.name, &value.text().unwrap_or_default())?,
        }
    }
    document.close(&root);
    Ok(document.text)
}

/// A character, or the half of a surrogate pair that stands alone.
type Character = Result<char, u16>;

/// Finds the first code point of a kind in names or texts.
fn first_in(member: &Member<'_>, is_one: impl Fn(Character) -> bool + Copy) -> Option<u32> {
    let name = member
        .published
        .and_then(|(_, name)| first_in_text(name, is_one));
    name.or_else(|| match &member.value {
        Value::Json(json) => first_in_json(json, is_one),
        value => {
            let one = value.text()?.chars().find(|&it| is_one(Ok(it)))?;
            Some(one.into())
        }
    })
}

fn first_in_json(json: &Json<'_>, is_one: impl Fn(Character) -> bool + Copy) -> Option<u32> {
    match &json.kind {
        Kind::Text(text) => first_in_text(*text, is_one),
        Kind::List(items) => items.iter().find_map(|item| first_in_json(item, is_one)),
        Kind::Object(members) => members.iter().find_map(|(name, value)| {
            first_in_text(*name, is_one).or_else(|| first_in_json(value, is_one))
        }),
        _ => None,
    }
}

fn first_in_text(text: Quoted<'_>, is_one: impl Fn(Character) -> bool) -> Option<u32> {
    let one = text.characters().find(|&character| is_one(character))?;
    Some(one.map_or_else(u32::from, u32::from))
}

struct Document {
    text: String,
    charset: Charset,
}

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

    /// Begins an element, and gives its name, for its end.
    fn open<'n>(&mut self, name: &'n str) -> Result<Cow<'n, str>, Unsendable> {
        if self.text.len() + name.len() > MAX_ENCODED_BYTES {
            return Err(Unsendable::EncodedTooLong);
        }
        let element = element_name(name);
        self.text.push('<');
        self.text.push_str(&element);
        if *element != *name {
            self.text.push_str(" name=\"");
            for character in name.chars() {
                match character {
                    '"' => self.text.push_str("&quot;"),
                    // Bare, a parser would read them as spaces (section 3.3.3).
                    '\n' => self.text.push_str("&#10;"),
                    '\t' => self.text.push_str("&#9;"),
                    other => self.write_character(other),
                }
            }
            self.text.push('"');
        }
        self.text.push('>');
        Ok(element)
    }

    fn close(&mut self, element: &str) {
        self.text.push_str("</");
        self.text.push_str(element);
        self.text.push('>');
    }

    fn write_character(&mut self, character: char) {
        match character {
            '<' => self.text.push_str("&lt;"),
            // Only `]]>` must be escaped; escaping each is simpler and allowed.
            '>' => self.text.push_str("&gt;"),
            '&' => self.text.push_str("&amp;"),
            // A parser would read a bare one as a line feed.
            '\r' => self.text.push_str("&#13;"),
            legal if is_legal(legal) => self.write_legal(legal),
            _ => self.write_legal(char::REPLACEMENT_CHARACTER),
        }
    }

    /// Writes a character, by its number where the charset does not have it: then it is what stands
    /// for one that XML does not have.
    fn write_legal(&mut self, character: char) {
        if self.charset.has(character) {
            self.text.push(character);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(self.text, "&#{};", u32::from(character));
        }
    }
}

/// Whether a character can stand in a document: `Char` of XML 1.0, section 2.2. Nothing else can,
/// not even escaped.
const fn is_legal(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Makes `name` an XML name: each character that no name may have becomes `_` (the colon too, which
/// would announce a namespace), and `_` goes before a first character that may not come first,
/// before the reserved `xml`, and stands for an empty name. A very long name loses its end.
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

/// Whether a character can begin a name: `NameStartChar` of XML 1.0, section 2.3, without the
/// colon.
const fn is_name_start(character: char) -> bool {
    matches!(character,
        'A'..='Z' | 'a'..='z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// Whether a character can be a part of a name: `NameChar` of XML 1.0, section 2.3, without the
/// colon.
const fn is_name_part(character: char) -> bool {
    is_name_start(character)
        || matches!(character,
            '-' | '.' | '0'..='9' | '\u{B7}'
            | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}
