//! One endpoint of one merchant, as it takes effect: every setting resolved and checked.

mod auth;
mod form;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretSlice;
use uuid::Uuid;

pub use self::auth::{Auth, ClientAuth, Credential, OAuth2Client};
pub use self::form::{
    Encoding, FixedHeader, IdentityHeaders, Method, Nested, RequestForm, Space, XmlIllegal,
};
use super::{Pattern, RetryPolicy, Shard, Signing, SuccessRule};

/// One endpoint of one merchant: where to send, what, in which form, and how often to try.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The subscription's id.
    pub id: Uuid,
    /// The tenant that the subscription belongs to.
    pub merchant: String,
    /// The subscription's name, unique within the merchant.
    pub name: String,
    /// The shard that the merchant belongs to.
    pub shard: Shard,
    /// The number of the configuration's change that made it so; it grows with every change.
    pub revision: i64,
    /// When the subscription was made: older events are not for it.
    pub created_at: DateTime<Utc>,
    /// Whether the subscription matches events at all. It is false too where the endpoint said that it is gone.
    pub enabled: bool,
    /// Whether the subscription is paused: its deliveries are kept as pending for now.
    pub paused: bool,
    /// Why its settings cannot be used, such as a secret that this worker cannot read; its
    /// deliveries wait as pending until it is mended. None: they can.
    pub unusable: Option<Arc<str>>,
    /// Whether it is for all of the merchant's transactions, or a template for single ones.
    pub scope: Scope,
    /// The kinds of events that it gets. None means every kind; an empty list means none.
    pub kinds: Option<Vec<Pattern>>,
    /// The statuses whose events it gets. None means every status; an empty list means none.
    pub statuses: Option<Vec<Pattern>>,
    /// Whether it gets every event, or only changes of the status.
    pub emit: Emit,
    /// What the requests look like.
    pub form: RequestForm,
    /// How the requests prove who sends them.
    pub auth: Auth,
    /// The credential that `auth` takes the place of, for as long as the receiver may refuse the
    /// new one.
    pub auth_previous: Option<Auth>,
    /// How the requests are signed.
    pub signing: Signing,
    /// Signing secrets as they were given, and a PKCS#12 file's password: they are not sent,
    /// but a receiver knows the former, and an answer must show neither.
    pub unsent: Vec<SecretSlice<u8>>,
    /// What makes its TLS connections trusted.
    pub tls: TlsSettings,
    /// From which addresses, or through which proxies, connections are made.
    pub exit: Exit,
    /// Which answers count as delivered.
    pub success: SuccessRule,
    /// When, and how often, a failed delivery is tried again.
    pub retry: RetryPolicy,
    /// How long the whole exchange may take, from name look-up to the end of the body.
    pub timeout: Duration,
    /// How long each connection may take to be made.
    pub connect_timeout: Duration,
    /// The most requests in the air at once, over all workers: 1 to 500.
    pub max_in_flight: u16,
    /// The most sends a second; none for no limit.
    pub rate: Option<f64>,
    /// In which order deliveries are sent.
    pub order: Order,
    /// Whether a newer event of a transaction takes the place of one that still waits.
    pub supersede: bool,
    /// What a transaction's endpoint may not choose for itself.
    pub locked: Locked,
}

impl Subscription {
    /// Whether nothing is to be sent for now, while deliveries gather.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.enabled && (self.paused || self.unusable.is_some())
    }

    /// The credential that requests carry: the previous one only where there is one.
    #[must_use]
    pub fn auth_by(&self, credential: Credential) -> &Auth {
        match (credential, &self.auth_previous) {
            (Credential::Previous, Some(previous)) => previous,
            _ => &self.auth,
        }
    }
}

/// What a subscription is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The subscription gets the events of all the merchant's transactions.
    Merchant,
    /// The subscription is a template of the [`Endpoint`](super::Endpoint)s that single
    /// transactions bring, and gets nothing by itself.
    Transaction,
}

/// Which of a transaction's events a subscription gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Every event that matches.
    Every,
    /// Only events whose status is another one than that of the transaction's event before (WIRE.md
    /// 5.6).
    Change,
}

/// Whether an operator's lock fixes what a transaction's endpoint could say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// Whether a lock fixes the URL.
    pub url: bool,
    /// Whether a lock fixes the method.
    pub method: bool,
    /// Whether a lock fixes the text that the answer's body must be.
    pub success_body: bool,
}

/// Everything that makes a TLS connection trusted, apart from the system's roots.
#[derive(Clone, Default)]
pub struct TlsSettings {
    /// The client's certificate chain and private key, PEM; none where it shows no certificate.
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
    /// The addresses of the worker's machine that connections come from, of which one of the
    /// receiver's family is taken; empty for the one that the system chooses.
    pub source_addresses: Vec<IpAddr>,
    /// The proxies to go through, by the name that the worker's configuration gives them.
    pub proxy_pool: Option<String>,
}

/// In which order deliveries are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each on its own, as soon as it can be.
    None,
    /// The events of one transaction one after another, each when the one before is done.
    Transaction,
}
