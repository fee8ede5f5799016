//! The form of a subscription's requests: everything but what proves who sends them.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use url::Url;

use crate::model::{Charset, Field, Spelling};

/// What the request looks like, apart from credentials.
#[derive(Clone)]
pub struct RequestForm {
    /// Where to send. None only for a template whose transactions bring their own.
    pub url: Option<Url>,
    /// The HTTP method.
    pub method: Method,
    /// The encoding of the payload.
    pub encoding: Encoding,
    /// The fields that travel, in the order of the wire; none sends the published data as it is.
    pub fields: Option<Vec<Field>>,
    /// What a form makes of objects and lists.
    pub nested: Nested,
    /// How a form writes a space.
    pub space: Space,
    /// The charset of forms and of XML; JSON is always UTF-8.
    pub charset: Charset,
    /// Whether the content type names the charset.
    pub says_charset: bool,
    /// The name of the outermost element when the encoding is XML.
    pub xml_root: String,
    /// What XML makes of characters that it cannot carry.
    pub xml_illegal: XmlIllegal,
    /// Whether the request asks for an answer that is not compressed.
    pub asks_for_identity: bool,
    /// The headers that tell a receiver which message this is.
    pub identity: IdentityHeaders,
    /// The value of `User-Agent`; none for what the engine says of itself.
    pub user_agent: Option<HeaderValue>,
    /// The headers that every request has, beside those of the engine.
    pub fixed: Vec<FixedHeader>,
}

impl RequestForm {
    /// This form with headers of the subscription's own, under the names that were written.
    #[must_use]
    pub fn with(mut self, fixed: Vec<FixedHeader>) -> Self {
        for header in &fixed {
            self.identity.spelling.keep(Arc::clone(&header.spelling));
        }
        self.fixed = fixed;
        self
    }
}

/// Leaves out what may hold a token: the URL's path and query, and the literals of the
/// field map.
impl fmt::Debug for RequestForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestForm")
            .field(
                "origin",
                &self
                    .url
                    .as_ref()
                    .map(|url| url.origin().ascii_serialization()),
            )
            .field("method", &self.method)
            .field("encoding", &self.encoding)
            .finish_non_exhaustive()
    }
}

/// The HTTP method of a subscription's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The payload travels in the URL's query.
    Get,
    /// The payload travels in the body.
    Post,
}

/// How the payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A JSON object.
    Json,
    /// An XML document.
    Xml,
    /// Name-value pairs in the body: `application/x-www-form-urlencoded`.
    Nvp,
    /// Name-value pairs in the URL; the only encoding of a GET.
    Query,
}

/// A header that every request has.
#[derive(Clone, Debug)]
pub struct FixedHeader {
    /// The header's name, as it is compared.
    pub name: HeaderName,
    /// The header's name as it was written.
    pub spelling: Arc<str>,
    /// The header's value, marked as sensitive where it is a secret.
    pub value: HeaderValue,
}

/// The names of the headers that tell a receiver which message this is; none is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The header of the event's id, which is the same at every attempt.
    pub id: Option<HeaderName>,
    /// The header of the attempt's time in Unix seconds.
    pub timestamp: Option<HeaderName>,
    /// The header of the attempt's number, from 1.
    pub attempt: Option<HeaderName>,
    /// How the names that somebody chose are written.
    pub spelling: Spelling,
}

impl IdentityHeaders {
    /// The header of Standard Webhooks' signatures: `webhook-signature` beside `webhook-id`,
    /// and so with a vendor's own names. None without an id whose name ends in `-id`.
    #[must_use]
    pub fn signature(&self) -> Option<HeaderName> {
        let family = self.id.as_ref()?.as_str().strip_suffix("-id")?;
        HeaderName::try_from(format!("{family}-signature")).ok()
    }

    /// Every name that the engine needs for itself, and that no other header may have.
    #[must_use]
    pub fn taken(&self, has_signature: bool) -> Vec<HeaderName> {
        let signature = self.signature().filter(|_| has_signature);
        let names = [&self.id, &self.timestamp, &self.attempt].map(Clone::clone);
        names.into_iter().chain([signature]).flatten().collect()
    }
}

/// What a form makes of objects and lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nested {
    /// A pair for each value within, named such as `payer.name` and `items.0`.
    Dotted,
    /// A pair for each value within, named such as `payer[name]` and `items[0]`, as PHP and Rails
    /// have it.
    Brackets,
    /// One pair with the JSON text, exactly as it was published.
    Json,
    /// Nothing is sent: the delivery is a posting error.
    Refuse,
}

/// How a form writes a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// A space is `+`, as forms have it.
    Plus,
    /// A space is `%20`, as the rest of a URL has it.
    Percent,
}

/// What XML makes of a character that it cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlIllegal {
    /// U+FFFD stands in its place.
    Replace,
    /// Nothing is sent: the delivery is a posting error.
    Refuse,
}
