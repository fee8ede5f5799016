//! What the gateway counts.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::names::{Label, Level, Names, millis};
use crate::http::histogram::Histogram;

/// The bounds of a reading: from a commit to the memory of a gateway, and up to a database that
/// was away.
const READ: &[Duration] = &millis([
    2, 5, 10, 15, 20, 30, 50, 100, 200, 500, 1_000, 5_000, 30_000,
]);

/// What a request to the gateway is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A SOAP call.
    Soap,
    /// A new session.
    Session,
    /// The details of a transaction, for a session.
    Details,
    /// The events of a transaction, for a merchant.
    Transaction,
    /// A look at what a security token stands for.
    SecurityToken,
    /// A merchant's feed.
    Feed,
    /// A WebSocket.
    Socket,
    /// A page for people to read.
    Page,
    /// A path that the gateway does not know.
    Other,
}

impl Channel {
    const ALL: [Self; 9] = [
        Self::Soap,
        Self::Session,
        Self::Details,
        Self::Transaction,
        Self::SecurityToken,
        Self::Feed,
        Self::Socket,
        Self::Page,
        Self::Other,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Soap => "soap",
            Self::Session => "session",
            Self::Details => "details",
            Self::Transaction => "transaction",
            Self::SecurityToken => "security_token",
            Self::Feed => "feed",
            Self::Socket => "socket",
            Self::Page => "page",
            Self::Other => "other",
        }
    }
}

/// The words of [`GatewayMetrics::refused`].
const REASONS: [&str; 9] = [
    "unauthorized",
    "not_found",
    "too_many",
    "too_large",
    "slow",
    "method",
    "malformed",
    "away",
    "busy",
];

/// How events leave the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The answer to a request has them, and ends.
    Page,
    /// They come in an answer that goes on.
    Stream,
    /// They come over a WebSocket.
    Socket,
}

/// What the gateway counts: requests, clients that wait, and what it reads for them.
#[derive(Debug)]
pub struct GatewayMetrics {
    requests: [Counter; Channel::ALL.len()],
    refused: Family<Label, Counter>,
    /// The events that left, in the order of [`Sent`].
    sent: [Counter; 3],
    waits: Level,
    streams: Level,
    sockets: Level,
    read_delay: Histogram,
    queries: Counter,
}

impl GatewayMetrics {
    pub(super) fn new(names: &mut Names) -> Self {
        let requests = names.family(
            "posthorn_gateway_requests",
            "Requests to the gateway, by channel",
        );
        let refused = names.family(
            "posthorn_gateway_refused",
            "Requests and sockets that the gateway refused, by reason",
        );
        for reason in REASONS {
            // From the beginning at 0, so that a first refusal shows as an increase.
            refused.get_or_create_owned(&[("reason", reason)]);
        }
        let sent = names.family(
            "posthorn_gateway_events_sent",
            "Events that left the gateway, by transport",
        );
        let open = names.family(
            "posthorn_gateway_open",
            "Clients that are connected and wait, by transport",
        );
        Self {
            requests: Channel::ALL
                .map(|channel| requests.get_or_create_owned(&[("channel", channel.as_str())])),
            refused,
            sent: ["page", "stream", "socket"]
                .map(|transport| sent.get_or_create_owned(&[("transport", transport)])),
            waits: open.get_or_create_owned(&[("transport", "wait")]),
            streams: open.get_or_create_owned(&[("transport", "stream")]),
            sockets: open.get_or_create_owned(&[("transport", "socket")]),
            read_delay: names.histogram(
                "posthorn_gateway_read_delay_seconds",
                "From an event's insertion to the gateway's memory",
                READ,
            ),
            queries: names.counter(
                "posthorn_gateway_queries",
                "Statements that the gateway gave the database",
            ),
        }
    }

    /// A request came for this.
    pub fn request(&self, channel: Channel) {
        self.requests[channel as usize].inc();
    }

    /// A request or a socket was refused; `reason` is one of [`REASONS`].
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// So many events left like this.
    pub fn sent(&self, how: Sent, events: usize) {
        self.sent[how as usize].inc_by(events as u64);
    }

    /// A client waits for events, until what this returns is dropped.
    #[must_use]
    pub fn waits(&self) -> Count {
        Count::of(&self.waits)
    }

    /// A client reads a stream, until what this returns is dropped.
    #[must_use]
    pub fn streams(&self) -> Count {
        Count::of(&self.streams)
    }

    /// A client has a socket open, until what this returns is dropped.
    #[must_use]
    pub fn sockets(&self) -> Count {
        Count::of(&self.sockets)
    }

    /// An event came into memory so long after its insertion.
    pub fn read(&self, delay: Duration) {
        self.read_delay.observe(delay);
    }

    /// A statement was given to the database.
    pub fn query(&self) {
        self.queries.inc();
    }
}

/// A client that is counted as long as this lives.
#[derive(Debug)]
pub struct Count(Level);

impl Count {
    fn of(level: &Level) -> Self {
        level.inc();
        Self(level.clone())
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.dec();
    }
}
