//! Shape: the exact request of one delivery. Pure: time and chance are arguments.
//!
//! `parser` reads the published data into a `tree` without losing a digit, `fields` picks the
//! members that travel, `format` puts it into the form that the receiver wants, one of `json`, `form`
//! and `xml` writes it, and `headers` and `signing` say who sends it.

mod currency;
mod decimal;
pub mod endpoint;
mod fields;
mod form;
mod format;
mod headers;
mod json;
mod member;
mod parser;
mod signing;
mod tree;
mod unsendable;
mod xml;

#[cfg(test)]
mod tests;

use std::fmt;

pub use headers::PRODUCT;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;
use uuid::Uuid;

use crate::model::settings::defaults;
use crate::model::subscription::RequestForm;
use crate::model::{
    Charset, Credential, Encoding, Event, Field, FieldSource, Method, Spelling, Subscription,
    TokenKey,
};
use fields::Sources;
pub use fields::sent_alike;
use form::Dialect;
pub use unsendable::Unsendable;
use unsendable::{MAX_ENCODED_BYTES, MAX_URL_BYTES};

/// A request, complete but for what the HTTP client adds (`host`, `content-length`).
#[derive(Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: http::Method,
    /// Where it goes; its query may carry the payload.
    pub url: Url,
    /// Its headers, secret values marked as sensitive.
    pub headers: HeaderMap,
    /// How the headers' names are written.
    pub spelling: Spelling,
    /// Its body; empty where the payload travels in the URL.
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
            .finish_non_exhaustive()
    }
}

/// What a request is made of beside the event and the subscription.
pub struct Moment<'a> {
    /// The id by which the receiver knows the subscription: its own, or the id of the transaction's
    /// endpoint whose template it is.
    pub subscription_id: Uuid,
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// The attempt's time, by the database's clock.
    pub now: DateTime<Utc>,
    /// Fresh random bytes: what `SensePass` calls the random key.
    pub nonce: [u8; 16],
    /// The key that makes security tokens; the same at every attempt.
    pub token_key: &'a TokenKey,
    /// Which of two credentials it carries while one takes the other's place.
    pub credential: Credential,
}

/// Refuses an event whose data has more bytes than a worker sends.
pub const fn within_bounds(event: &Event, most: usize) -> Result<(), Unsendable> {
    let bytes = event.data.len();
    if bytes > most {
        return Err(Unsendable::TooLarge { bytes, most });
    }
    Ok(())
}

/// Makes the request of `event` for `subscription`. The moment changes the headers that tell of it
/// and of the credential, the signature, and the fields that are mapped from the attempt's number
/// or time; nothing else (invariant 5).
pub fn shape(
    event: &Event,
    subscription: &Subscription,
    moment: &Moment<'_>,
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
        url: form.url.clone().ok_or(Unsendable::NoUrl)?,
        headers: headers::of(event, subscription, moment)?,
        spelling: headers::spelling(subscription, moment),
        body: Bytes::new(),
    };
    let encoding = match form.method {
        Method::Get => Encoding::Query,
        Method::Post => form.encoding,
    };
    let payload = encode(event, subscription, encoding, moment)?;
    match content_type(encoding, form) {
        Some(content_type) => {
            request.body = match form.charset {
                Charset::Utf8 => payload.into(),
                other => other.encode(&payload).into_owned().into(),
            };
            request.headers.insert(CONTENT_TYPE, content_type);
        }
        None => append_query(&mut request.url, &payload)?,
    }
    signing::sign(&mut request, event, subscription, moment);
    Ok(request)
}

/// Writes an event as name-value pairs through a field map, outside of any delivery.
pub fn name_value_pairs(
    event: &Event,
    fields: &[Field],
    token_key: &TokenKey,
    now: DateTime<Utc>,
) -> Result<String, Unsendable> {
    if event.data.is_empty() {
        return Err(Unsendable::Purged);
    }
    let data = if reads_data(Some(fields)) {
        Some(parser::parse(&event.data)?)
    } else {
        None
    };
    let moment = Moment {
        subscription_id: Uuid::nil(),
        attempt: 1,
        now,
        nonce: [0; 16],
        token_key,
        credential: Credential::Current,
    };
    let sources = Sources {
        event,
        subscription: Uuid::nil(),
        data: data.as_ref(),
        moment: &moment,
    };
    let members = fields::mapped(fields, &sources)?;
    form::write(
        &members,
        Dialect {
            nested: defaults::NESTED,
            space: defaults::SPACE,
            charset: Charset::Utf8,
        },
    )
}

fn encode(
    event: &Event,
    subscription: &Subscription,
    encoding: Encoding,
    moment: &Moment<'_>,
) -> Result<String, Unsendable> {
    let form = &subscription.form;
    // The database has checked it, and the receiver wants it byte for byte.
    if form.fields.is_none() && encoding == Encoding::Json {
        return Ok(event.data.to_string());
    }
    let data = if reads_data(form.fields.as_deref()) {
        Some(parser::parse(&event.data)?)
    } else {
        None
    };
    let members = match &form.fields {
        Some(fields) => fields::mapped(
            fields,
            &Sources {
                event,
                subscription: moment.subscription_id,
                data: data.as_ref(),
                moment,
            },
        )?,
        None => fields::identity(data.as_ref())?,
    };
    match encoding {
        Encoding::Json => Ok(json::write_object(&members)),
        Encoding::Xml => xml::write_document(form, &members),
        Encoding::Nvp | Encoding::Query => form::write(
            &members,
            Dialect {
                nested: form.nested,
                space: form.space,
                charset: form.charset,
            },
        ),
    }
}

fn reads_data(fields: Option<&[Field]>) -> bool {
    fields.is_none_or(|fields| {
        fields.iter().any(|field| {
            matches!(field.source, FieldSource::Pointer(_))
                || field.format.iter().any(|step| step.currency().is_some())
        })
    })
}

/// The content type of a body; none for the encoding that travels in the URL.
fn content_type(encoding: Encoding, form: &RequestForm) -> Option<HeaderValue> {
    let media_type = match encoding {
        Encoding::Json => "application/json",
        Encoding::Xml => "application/xml",
        Encoding::Nvp => "application/x-www-form-urlencoded",
        Encoding::Query => return None,
    };
    if form.says_charset {
        HeaderValue::from_str(&format!("{media_type}; charset={}", form.charset.name())).ok()
    } else {
        Some(HeaderValue::from_static(media_type))
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
