//! Headers that every request of a subscription has, such as a shop's number or the key of a
//! gateway in front of the receiver. Checking the references needs no secret; opening them
//! reads each once.

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, USER_AGENT};
use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::credentials::content;
use super::headers::is_reserved;
use super::problem::note;
use super::{Problem, Settings, quoted};
use crate::model::secret::{ReadSecret, SecretRef, as_text};
use crate::model::subscription::{Auth, FixedHeader};

const KEY: &str = "headers";

/// The most headers that a subscription may add: far more than any receiver asks for.
const MOST: usize = 50;

/// The prefix of a text that would otherwise be taken for a reference to a secret.
const LITERAL: &str = "literal:";

/// The prefixes of references to secrets.
const REFERENCES: [&str; 3] = ["env:", "file:", "secret:"];

pub(super) struct Entry {
    name: HeaderName,
    /// The header's name as it was written.
    spelling: String,
    content: Content,
}

enum Content {
    Plain(HeaderValue),
    Secret(SecretRef),
}

/// Checks the headers. `taken` has the names of those that tell of the event and sign it.
pub(super) fn check(
    settings: &Settings,
    taken: &[HeaderName],
    problems: &mut Vec<Problem>,
) -> Option<Vec<Entry>> {
    let Some(headers) = &settings.headers else {
        return Some(Vec::new());
    };
    let before = problems.len();
    let mut refuse = |message: String| problems.push(Problem::new(KEY, message));
    let Some(headers) = headers.as_object() else {
        refuse("not an object; give names and values, such as { X-Shop = \"7\" }".to_owned());
        return None;
    };
    if headers.len() > MOST {
        refuse(format!("{} of them; give at most {MOST}", headers.len()));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(headers.len());
    for (spelling, value) in headers {
        match entry(spelling, value) {
            Err(message) => refuse(format!("{}: {message}", quoted(spelling))),
            Ok(entry) => {
                if let Some(twin) = entries.iter().find(|other| other.name == entry.name) {
                    let (one, other) = (quoted(&twin.spelling), quoted(spelling));
                    refuse(format!(
                        "{one} and {other} are the same header; give it once"
                    ));
                }
                if taken.contains(&entry.name) {
                    let name = quoted(spelling);
                    refuse(format!(
                        "{name}: a header that id_header, timestamp_header, attempt_header or signing needs for itself; give another, or theirs another name"
                    ));
                }
                entries.push(entry);
            }
        }
    }
    (problems.len() == before).then_some(entries)
}

fn entry(spelling: &str, value: &Value) -> Result<Entry, String> {
    let name = HeaderName::from_bytes(spelling.as_bytes())
        .map_err(|_| "not a header's name; give one of letters, digits and -".to_owned())?;
    let remedy = match name {
        AUTHORIZATION => Some("auth and auth_secret"),
        USER_AGENT => Some("user_agent"),
        ACCEPT_ENCODING => Some("another header"),
        _ if is_reserved(&name) => Some("another header"),
        _ => None,
    };
    if let Some(remedy) = remedy {
        return Err(format!(
            "a header that the request needs for itself; give {remedy}"
        ));
    }
    // Whatever is found is not shown: it may be a secret in the wrong place.
    let text = value
        .as_str()
        .ok_or("a value that is not text; give it in quotes")?;
    let content = match text.strip_prefix(LITERAL) {
        Some(text) => Content::Plain(plain(text)?),
        None if REFERENCES.iter().any(|it| text.starts_with(it)) => {
            let reference = SecretRef::parse(text).ok_or(
                "text that begins like a reference and is none; give env:NAME, file:PATH or secret:NAME, or write literal: before it",
            )?;
            Content::Secret(reference)
        }
        None => Content::Plain(plain(text)?),
    };
    Ok(Entry {
        name,
        spelling: spelling.to_owned(),
        content,
    })
}

fn plain(text: &str) -> Result<HeaderValue, String> {
    value(text).map_err(|remedy| format!("a value that {remedy}"))
}

/// Takes a header's value: visible ASCII characters, spaces and tabs (RFC 9110, section 5.5), none
/// of them around it.
pub(super) fn value(text: &str) -> Result<HeaderValue, &'static str> {
    let text = text.trim();
    match HeaderValue::from_str(text) {
        Ok(value) if text.is_ascii() && !text.is_empty() => Ok(value),
        _ => Err("no header can carry; give text in ASCII on one line"),
    }
}

/// Gives the headers with their secrets read.
pub(super) fn open(
    entries: Vec<Entry>,
    read: &ReadSecret<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Vec<FixedHeader>> {
    let before = problems.len();
    let mut opened = Vec::with_capacity(entries.len());
    for entry in entries {
        let value = match entry.content {
            Content::Plain(value) => Ok(value),
            Content::Secret(from) => secret(&from, read),
        };
        opened.extend(note(KEY, value, problems).map(|value| FixedHeader {
            name: entry.name,
            spelling: entry.spelling.into(),
            value,
        }));
    }
    (problems.len() == before).then_some(opened)
}

fn secret(from: &SecretRef, read: &ReadSecret<'_>) -> Result<HeaderValue, String> {
    let text = read(from).and_then(|bytes| as_text(from, &bytes));
    let text = text.map_err(|error| error.to_string())?;
    let value = value(text.expose_secret());
    let value =
        value.map_err(|_| "has no value that a header can carry; write it in ASCII on one line");
    let mut value = content(from, value)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Refuses a fixed header that the API key is sent in: its name is known only when the secret is
/// read.
pub(super) fn refuse_the_keys(fixed: &[FixedHeader], auth: &Auth, problems: &mut Vec<Problem>) {
    let Auth::ApiKey { header: key, .. } = auth else {
        return;
    };
    if let Some(header) = fixed.iter().find(|header| header.name == **key) {
        let name = quoted(&header.spelling);
        problems.push(Problem::new(
            KEY,
            format!("{name}: the header of the API key in auth_secret; take one out"),
        ));
    }
}

impl Settings {
    /// The references to secrets among the fixed headers' values.
    pub(super) fn references_of_headers(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.as_ref().and_then(Value::as_object);
        let values = headers.into_iter().flat_map(|it| it.values());
        values
            .filter_map(Value::as_str)
            .filter(|text| SecretRef::parse(text).is_some())
    }
}
