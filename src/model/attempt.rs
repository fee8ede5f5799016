//! One HTTP exchange: what happened on the wire, and what the rules say of it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// What happened on the wire, with its times.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub wire: Wire,
    /// By the database's clock, carried forward monotonically.
    pub started_at: DateTime<Utc>,
    pub duration: Duration,
    /// None where there was no connection to send it on.
    pub sent: Option<Sent>,
    /// Whether it went out twice: a kept connection was closed before any answer, and the
    /// same bytes went over a new one at once.
    pub again: bool,
}

/// What can be shown later of a request that went out. The digests are SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Of method, URL and headers but credentials; `send::digest` has the form.
    pub head_digest: [u8; 32],
    /// Of the body, byte for byte.
    pub payload_digest: [u8; 32],
    pub peer: Peer,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The receiver's address that was dialled, or that a proxy was told.
    pub address: IpAddr,
    /// The address of that proxy.
    pub proxy: Option<IpAddr>,
    /// None for plain HTTP.
    pub tls: Option<TlsVersion>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

#[derive(Clone, Debug)]
pub enum Wire {
    Answer(Answer),
    /// No answer came. `detail` is for an operator: it names hosts and
    /// causes, never credentials, query strings or payloads.
    Failed {
        class: FailureClass,
        detail: String,
    },
}

/// An answer; its body is capped.
#[derive(Clone, Default)]
pub struct Answer {
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
    Dns,
    Connect,
    Tls,
    /// The total deadline passed, wherever the exchange stood.
    Timeout,
    /// The connection broke, or what came was not HTTP.
    Protocol,
    /// The egress policy forbids the address.
    Refused,
    /// The token server answered, but not with a token. `refused` is true where it was the
    /// client's credential that it refused.
    Token {
        refused: bool,
    },
}

/// What the subscription's rule says of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Retry,
    GiveUp,
    /// The endpoint says that it is gone: its subscription is disabled.
    Disable,
}

/// A verdict with its reason: what support staff read once it was masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub class: OutcomeClass,
    /// Such as `503 Service Unavailable`. It has the receiver's own words, which may quote
    /// what was sent: [`Mask::line`](crate::mask::Mask::line) comes before anybody sees it.
    pub reason: String,
}

/// The class under which an attempt is recorded and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeClass {
    Ok,
    /// The status is outside the success ranges.
    Status,
    /// The status fits, the body text does not.
    BodyRule,
    Dns,
    Connect,
    Tls,
    Timeout,
    Protocol,
    Refused,
    /// No access token could be had.
    Token,
}

impl OutcomeClass {
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

    /// The spelling of `posthorn.outcome_class` and of metrics.
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
