//! Shape: the exact request of one delivery. Pure; nothing here knows the time.
//!
//! `parser` reads the published data without losing a digit, `fields` picks what
//! travels, and one of `json`, `form` and `xml` writes it.

mod fields;
mod form;
mod headers;
mod json;
mod parser;
mod xml;

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use crate::model::subscription::{FieldSource, RequestForm};
use crate::model::{Encoding, Event, Method, Subscription};

/// A request, complete but for what the HTTP client adds (`host`, `content-length`).
#[derive(Clone)]
pub struct Request {
    pub method: http::Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Leaves out the body, the header values and the URL behind its origin, any of which may
/// hold a secret (invariant 9).
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("origin", &self.url.origin().ascii_serialization())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Why a delivery can never be sent: it becomes a `posting_error` at once, with this
/// text as its reason. Names fields and shapes, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    #[error("field `{field}`: nothing at {pointer} in the event's data")]
    Missing { field: String, pointer: String },
    #[error("the event's data was purged")]
    Purged,
    #[error("the event's data is not valid JSON at byte {at}")]
    Malformed { at: usize },
    #[error("the event's data is nested deeper than {} levels", parser::MAX_DEPTH)]
    TooDeep,
    #[error("the event's data is {found}; without a field map this encoding needs an object")]
    NotAnObject { found: &'static str },
    #[error("the encoded fields would be longer than {MAX_ENCODED_BYTES} bytes")]
    EncodedTooLong,
    #[error("the URL with its query would be longer than {MAX_URL_BYTES} bytes")]
    UrlTooLong,
    #[error("the API key's header name is not a legal header name")]
    HeaderName,
    #[error("the value of header `{header}` has characters that no header may carry")]
    HeaderValue { header: String },
}

/// Forms and XML repeat names (`list.0`, `<list>`), so that a long name above many
/// values can multiply the published size: far above any sound message, far below
/// what would hurt the worker.
const MAX_ENCODED_BYTES: usize = 4 * 1024 * 1024;

/// The longest URI that the `http` crate, and with it the HTTP client, can hold.
const MAX_URL_BYTES: usize = 65_534;

/// The request of `event` for `subscription`. `attempt` counts from 1 and changes
/// nothing but the fields that are mapped from it (invariant 5).
pub fn shape(
    event: &Event,
    subscription: &Subscription,
    attempt: u32,
) -> Result<Request, Unsendable> {
    if event.data.is_empty() {
        return Err(Unsendable::Purged);
    }
    let form = &subscription.form;
    let mut request = Request {
        method: match form.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
        },
        url: form.url.clone(),
        headers: headers::of(event, &subscription.auth)?,
        body: Bytes::new(),
    };
    let encoding = match form.method {
        Method::Get => Encoding::Query,
        Method::Post => form.encoding,
    };
    let payload = encode(event, form, encoding, attempt)?;
    match content_type(encoding) {
        Some(content_type) => {
            request.body = payload.into();
            let value = HeaderValue::from_static(content_type);
            request.headers.insert(CONTENT_TYPE, value);
        }
        None => append_query(&mut request.url, &payload)?,
    }
    Ok(request)
}

fn encode(
    event: &Event,
    form: &RequestForm,
    encoding: Encoding,
    attempt: u32,
) -> Result<String, Unsendable> {
    // The database has checked it, and the receiver wants it byte for byte.
    if form.fields.is_none() && encoding == Encoding::Json {
        return Ok(event.data.to_string());
    }
    let data = if reads_data(form) {
        Some(parser::parse(&event.data)?)
    } else {
        None
    };
    let members = match &form.fields {
        Some(fields) => fields::mapped(fields, event, data.as_ref(), attempt)?,
        None => fields::identity(data.as_ref())?,
    };
    match encoding {
        Encoding::Json => Ok(json::write_object(&members)),
        Encoding::Xml => xml::write_document(&form.xml_root, &members),
        Encoding::Nvp | Encoding::Query => form::write(&members),
    }
}

fn reads_data(form: &RequestForm) -> bool {
    form.fields.as_ref().is_none_or(|fields| {
        fields
            .iter()
            .any(|field| matches!(field.source, FieldSource::Pointer(_)))
    })
}

/// None for the encoding that travels in the URL.
const fn content_type(encoding: Encoding) -> Option<&'static str> {
    match encoding {
        Encoding::Json => Some("application/json"),
        Encoding::Xml => Some("application/xml; charset=utf-8"),
        Encoding::Nvp => Some("application/x-www-form-urlencoded"),
        Encoding::Query => None,
    }
}

/// Adds form-encoded `pairs` behind the query that the URL has, and before its
/// fragment (WIRE.md 5.1).
fn append_query(url: &mut Url, pairs: &str) -> Result<(), Unsendable> {
    if url.as_str().len() + pairs.len() + "?".len() > MAX_URL_BYTES {
        return Err(Unsendable::UrlTooLong);
    }
    if pairs.is_empty() {
        return Ok(());
    }
    let mut query = url.query().unwrap_or_default().to_owned();
    if !query.is_empty() && !query.ends_with('&') {
        query.push('&');
    }
    query.push_str(pairs);
    url.set_query(Some(&query));
    Ok(())
}
