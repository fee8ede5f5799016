//! One endpoint of one merchant, as it takes effect: every setting resolved and checked.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderName, HeaderValue};
use secrecy::{SecretSlice, SecretString};
use url::Url;
use uuid::Uuid;

use super::{Charset, Field, Pattern, RetryPolicy, Shard, Signing, Spelling, SuccessRule};

#[derive(Clone, Debug)]
pub struct Subscription {
    pub id: Uuid,
    pub merchant: String,
    /// Unique within the merchant.
    pub name: String,
    pub shard: Shard,
    /// Grows with every change of the configuration.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    /// A disabled subscription matches nothing, and neither does one whose endpoint said
    /// that it is gone.
    pub enabled: bool,
    /// A paused one keeps its deliveries as pending.
    pub paused: bool,
    /// Why its settings cannot be used, such as a secret that this worker cannot read; its
    /// deliveries wait as pending until it is mended. None: they can.
    pub unusable: Option<Arc<str>>,
    pub scope: Scope,
    /// None means every kind; an empty list means none.
    pub kinds: Option<Vec<Pattern>>,
    /// The same of statuses.
    pub statuses: Option<Vec<Pattern>>,
    pub emit: Emit,
    pub form: RequestForm,
    pub auth: Auth,
    /// What `auth` takes the place of; for where the receiver refuses the new one.
    pub auth_previous: Option<Auth>,
    pub signing: Signing,
    /// Signing secrets as they were given, and a PKCS#12 file's password: they are not sent,
    /// but a receiver knows the former, and an answer must show neither.
    pub unsent: Vec<SecretSlice<u8>>,
    pub tls: TlsSettings,
    pub exit: Exit,
    pub success: SuccessRule,
    pub retry: RetryPolicy,
    /// For the whole exchange, from name look-up to the end of the body.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// 1 to 500, over all workers.
    pub max_in_flight: u16,
    /// Sends a second, if limited.
    pub rate: Option<f64>,
    pub order: Order,
    /// A newer event of a transaction takes the place of one that still waits.
    pub supersede: bool,
    pub locked: Locked,
}

impl Subscription {
    /// Whether nothing is to be sent for now, while deliveries gather.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.enabled && (self.paused || self.unusable.is_some())
    }

    /// The previous credential only where there is one.
    #[must_use]
    pub fn auth_by(&self, credential: Credential) -> &Auth {
        match (credential, &self.auth_previous) {
            (Credential::Previous, Some(previous)) => previous,
            _ => &self.auth,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// It gets the events of all the merchant's transactions.
    Merchant,
    /// It is a template of the [`Endpoint`](super::Endpoint)s that single transactions
    /// bring, and gets nothing by itself.
    Transaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    Every,
    /// Only events whose status is another one than that of the transaction's event
    /// before (WIRE.md 5.6).
    Change,
}

/// Whether an operator's lock fixes what a transaction's endpoint could say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    pub url: bool,
    pub method: bool,
    pub success_body: bool,
}

/// What the request looks like, apart from credentials.
#[derive(Clone)]
pub struct RequestForm {
    /// None only of a template whose transactions bring their own.
    pub url: Option<Url>,
    pub method: Method,
    pub encoding: Encoding,
    /// None sends the published data as it is.
    pub fields: Option<Vec<Field>>,
    /// What a form makes of objects and lists.
    pub nested: Nested,
    /// How a form writes a space.
    pub space: Space,
    /// Of forms and of XML; JSON is always UTF-8.
    pub charset: Charset,
    /// Whether the content type names it.
    pub says_charset: bool,
    /// The name of the outermost element when the encoding is XML.
    pub xml_root: String,
    /// What XML makes of characters that it cannot carry.
    pub xml_illegal: XmlIllegal,
    /// Whether it asks for an answer that is not compressed.
    pub asks_for_identity: bool,
    pub identity: IdentityHeaders,
    /// None says what the engine says of itself.
    pub user_agent: Option<HeaderValue>,
    pub fixed: Vec<FixedHeader>,
}

impl RequestForm {
    /// The same with headers of its own, under the names that were written.
    #[must_use]
    pub fn with(mut self, fixed: Vec<FixedHeader>) -> Self {
        for header in &fixed {
            self.identity.spelling.keep(&header.spelling);
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Xml,
    /// `application/x-www-form-urlencoded` in the body.
    Nvp,
    /// The same in the URL; the only encoding of a GET.
    Query,
}

/// A header that every request has.
#[derive(Clone, Debug)]
pub struct FixedHeader {
    pub name: HeaderName,
    /// The name as it was written.
    pub spelling: String,
    /// Sensitive where it is a secret.
    pub value: HeaderValue,
}

/// The names of the headers that tell a receiver which message this is; none is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The event's id, the same at every attempt.
    pub id: Option<HeaderName>,
    /// The attempt's time in Unix seconds.
    pub timestamp: Option<HeaderName>,
    /// The attempt's number, from 1.
    pub attempt: Option<HeaderName>,
    /// How those that were chosen are written.
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

    /// Every name that the engine needs for itself.
    #[must_use]
    pub fn taken(&self, has_signature: bool) -> Vec<HeaderName> {
        let signature = self.signature().filter(|_| has_signature);
        let names = [&self.id, &self.timestamp, &self.attempt].map(Clone::clone);
        names.into_iter().chain([signature]).flatten().collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nested {
    /// `payer.name`, `items.0`: a pair for each value within.
    Dotted,
    /// `payer[name]`, `items[0]`: the same in the spelling of PHP and Rails.
    Brackets,
    /// One pair with the JSON text, exactly as it was published.
    Json,
    /// A posting error.
    Refuse,
}

/// How a form writes a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// `+`, as forms have it.
    Plus,
    /// `%20`, as the rest of a URL has it.
    Percent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlIllegal {
    /// U+FFFD stands for it.
    Replace,
    /// A posting error.
    Refuse,
}

/// Which of two credentials a request carries while one takes the other's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Credential {
    /// Of `auth_secret`.
    #[default]
    Current,
    /// Of `auth_secret_previous`.
    Previous,
}

impl Credential {
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Current => Self::Previous,
            Self::Previous => Self::Current,
        }
    }
}

/// How the request proves who sends it.
#[derive(Clone)]
pub enum Auth {
    None,
    /// `user:password`.
    Basic(SecretString),
    /// The header's name, as it is to be written, and its value.
    ApiKey {
        header: String,
        value: SecretString,
        /// The secret as it stands, where the header's name was read out of it and could as
        /// well be the beginning of the key.
        guessed_from: Option<SecretString>,
    },
    /// A bearer token, had for the client's credentials before the request.
    OAuth2(Box<OAuth2Client>),
}

impl Auth {
    /// The header whose name may be a part of the secret itself.
    #[must_use]
    pub fn guessed_header(&self) -> Option<&str> {
        match self {
            Self::ApiKey {
                header,
                guessed_from: Some(_),
                ..
            } => Some(header),
            _ => None,
        }
    }

    /// How a secret was read that could mean two things, and what to do where the other one
    /// was meant; shows nothing of it.
    #[must_use]
    pub fn guess(&self) -> Option<&'static str> {
        match self {
            Self::ApiKey {
                guessed_from: Some(_),
                ..
            } => Some(
                "the secret has a colon: what is before it is sent as the header's name, and what \
                 is behind it as the value; where all of it is the value, give auth_header, such \
                 as \"authorization\", and where it is right, give the name there and the value \
                 alone as the secret",
            ),
            _ => None,
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(_) => "Basic([redacted])",
            Self::ApiKey { .. } => "ApiKey([redacted])",
            Self::OAuth2(_) => "OAuth2([redacted])",
        })
    }
}

/// A client of the grant "client credentials" (RFC 6749, section 4.4).
#[derive(Clone)]
pub struct OAuth2Client {
    pub token_url: Url,
    pub id: String,
    pub secret: SecretString,
    pub sent_in: ClientAuth,
    pub scope: Option<String>,
    /// No part of RFC 6749, but asked for by many token servers.
    pub audience: Option<String>,
}

/// How the client proves itself to the token server (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// An `Authorization` header, the one that every token server must know.
    Basic,
    /// `client_id` and `client_secret` beside the other parameters.
    Body,
}

/// Everything that makes a TLS connection trusted, apart from the system's roots.
#[derive(Clone, Default)]
pub struct TlsSettings {
    /// Certificate chain and private key, PEM.
    pub client_identity: Option<SecretSlice<u8>>,
    /// Further roots that this subscription alone trusts, PEM.
    pub ca: Option<Vec<u8>>,
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("client_identity", &self.client_identity.is_some())
            .field("ca", &self.ca.is_some())
            .finish()
    }
}

/// From where connections come, for receivers that allow-list addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exit {
    /// Addresses of the worker's machine, of which one of the receiver's family is taken;
    /// empty for the one that the system chooses.
    pub source_addresses: Vec<IpAddr>,
    /// The proxies, by the name that the worker's configuration gives them.
    pub proxy_pool: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    None,
    /// The events of one transaction one after another.
    Transaction,
}
