//! One HTTP exchange: what happened on the wire, and what the rules say of it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// What happened on the wire, with its times.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What came back: an answer, or the reason why none came.
    pub wire: Wire,
    /// When the request was begun, by the database's clock, carried forward monotonically.
    pub started_at: DateTime<Utc>,
    /// How long the exchange took, from its begin to the end of what was read of the answer.
    pub duration: Duration,
    /// The request as it went out. None where there was no connection to send it on.
    pub sent: Option<Sent>,
    /// Whether the request went out twice: a kept connection was closed before any answer, and the
    /// same bytes went over a new one at once.
    pub again: bool,
}

/// What can be shown later of a request that went out. The digests are SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// SHA-256 of method, URL and headers without credentials; `send::digest` has the form.
    pub head_digest: [u8; 32],
    /// SHA-256 of the body, byte for byte.
    pub payload_digest: [u8; 32],
    /// The other end of the connection that the request went out on.
    pub peer: Peer,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The receiver's address that was dialled, or that a proxy was told to dial.
    pub address: IpAddr,
    /// The address of the proxy that the connection went through, if it went through one.
    pub proxy: Option<IpAddr>,
    /// The version of TLS that the connection was made with; none for plain HTTP.
    pub tls: Option<TlsVersion>,
}

/// A version of TLS that connections to receivers are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// What came back over the wire after a request.
#[derive(Clone, Debug)]
pub enum Wire {
    /// The receiver answered with a status, whatever that says.
    Answer(Answer),
    /// No answer came, for a reason that has a class of its own.
    Failed {
        /// The kind of failure, under which it is counted.
        class: FailureClass,
        /// Hosts and causes for an operator to read; never credentials, query strings or payloads.
        detail: String,
    },
}

/// An answer of a receiver; its body is capped.
#[derive(Clone, Default)]
pub struct Answer {
    /// The HTTP status, from 100 to 999.
    pub status: u16,
    /// The reason phrase as it came (WIRE.md 1.10); empty where none did.
    pub reason: String,
    /// The first bytes of the body, up to the reading cap, in UTF-8 wherever its charset is
    /// known.
    pub body: Bytes,
    /// Why the end of the body did not come; none for a body that is whole, or capped.
    pub incomplete: Option<String>,
    /// The coding of the body, such as `gzip`. Nobody asked for one, and none is undone.
    pub coding: Option<String>,
    /// What keeps the body from being read as text, as the rest of a sentence about it.
    pub unreadable: Option<String>,
    /// The `Retry-After` header as it came: seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// The host that a redirect points to; redirects are not followed.
    pub redirects_to: Option<String>,
}

/// Leaves the body out: a receiver may echo the payload (invariant 9).
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The host's name could not be looked up.
    Dns,
    /// No connection could be made to any of the host's addresses.
    Connect,
    /// The TLS handshake failed, such as by a certificate that is not trusted.
    Tls,
    /// The total deadline passed, wherever the exchange stood.
    Timeout,
    /// The connection broke, or what came was not HTTP.
    Protocol,
    /// The egress policy forbids the address.
    Refused,
    /// The token server answered, but not with a token.
    Token {
        /// Whether it was the client's credential that the token server refused.
        refused: bool,
    },
}

/// What the subscription's rule says of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer counts as a success: the delivery is done.
    Delivered,
    /// The attempt failed, and another one is to follow if the policy has one left.
    Retry,
    /// The attempt failed in a way after which no other one is made.
    GiveUp,
    /// The endpoint says that it is gone: the delivery ends, and its subscription is disabled.
    Disable,
}

/// A verdict with its reason: what support staff read once it was masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What the subscription's rule makes of the outcome.
    pub verdict: Verdict,
    /// The class under which the attempt is recorded.
    pub class: OutcomeClass,
    /// The reason in words, such as `503 Service Unavailable`. It has the receiver's own words,
    /// which may quote what was sent: [`Mask::line`](crate::mask::Mask::line) comes before anybody
    /// sees it.
    pub reason: String,
}

/// The class under which an attempt is recorded and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeClass {
    /// The answer fits the success rule.
    Ok,
    /// An answer came whose status is outside the success ranges.
    Status,
    /// An answer came whose status fits, and whose body does not.
    BodyRule,
    /// The host's name could not be looked up.
    Dns,
    /// No connection could be made.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The total deadline passed, wherever the exchange stood.
    Timeout,
    /// The connection broke, or what came was not HTTP.
    Protocol,
    /// The egress policy forbids the address.
    Refused,
    /// No access token could be had from the token server.
    Token,
}

impl OutcomeClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Status,
        Self::BodyRule,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Protocol,
        Self::Refused,
        Self::Token,
    ];

    /// The class in the spelling of `posthorn.outcome_class` and of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Status => "status",
            Self::BodyRule => "body_rule",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Token => "token",
        }
    }
}

impl From<FailureClass> for OutcomeClass {
    fn from(class: FailureClass) -> Self {
        match class {
            FailureClass::Dns => Self::Dns,
            FailureClass::Connect => Self::Connect,
            FailureClass::Tls => Self::Tls,
            FailureClass::Timeout => Self::Timeout,
            FailureClass::Protocol => Self::Protocol,
            FailureClass::Refused => Self::Refused,
            FailureClass::Token { .. } => Self::Token,
        }
    }
}
