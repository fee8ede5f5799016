//! One endpoint of one merchant, as it takes effect: every setting resolved and checked.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{SecretSlice, SecretString};
use url::Url;
use uuid::Uuid;

use super::{Pattern, RetryPolicy, Shard, SuccessRule};

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Subscription {
    pub id: Uuid,
    pub merchant: String,
    /// Unique within the merchant.
    pub name: String,
    pub shard: Shard,
    /// Grows with every change of the configuration.
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    /// A disabled subscription matches nothing.
    pub enabled: bool,
    /// A paused one keeps its deliveries as pending.
    pub paused: bool,
    /// False: its settings cannot be used (a secret that this worker cannot read); its
    /// deliveries wait as pending until it is mended.
    pub usable: bool,
    /// Empty means every kind.
    pub kinds: Vec<Pattern>,
    /// Empty means every status.
    pub statuses: Vec<Pattern>,
    pub form: RequestForm,
    pub auth: Auth,
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
}

impl Subscription {
    /// Whether nothing is to be sent for now, while deliveries gather.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.enabled && (self.paused || !self.usable)
    }
}

/// What the request looks like, apart from credentials.
#[derive(Clone)]
pub struct RequestForm {
    pub url: Url,
    pub method: Method,
    pub encoding: Encoding,
    /// None sends the published data as it is.
    pub fields: Option<Vec<Field>>,
    /// The name of the outermost element when the encoding is XML.
    pub xml_root: String,
}

/// Leaves out what may hold a token: the URL's path and query, and the literals of the
/// field map.
impl fmt::Debug for RequestForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestForm")
            .field("origin", &self.url.origin().ascii_serialization())
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

/// One entry of a field map, in the order of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub source: FieldSource,
    /// Replaces a value found here by the text beside it; others pass through.
    pub map: Vec<(String, String)>,
    /// When the field is left out instead of being sent.
    pub omit_when: OmitWhen,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldSource {
    EventId,
    Merchant,
    Kind,
    TransactionId,
    Status,
    /// The event's `created_at` in RFC 3339 with microseconds, UTC.
    CreatedAt,
    /// The number of this attempt, from 1.
    Attempt,
    /// RFC 6901, into the published data.
    Pointer(String),
    Literal(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OmitWhen {
    /// Never: a missing source is a posting error.
    #[default]
    Never,
    /// The source is not there.
    Missing,
    /// It is not there, or JSON `null`.
    Null,
    /// It is not there, `null`, or the empty text.
    Empty,
}

/// How the request proves who sends it.
#[derive(Clone)]
pub enum Auth {
    None,
    /// `user:password`.
    Basic(SecretString),
    /// The header's name (lower case) and its value.
    ApiKey {
        header: String,
        value: SecretString,
    },
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(_) => "Basic([redacted])",
            Self::ApiKey { .. } => "ApiKey([redacted])",
        })
    }
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
