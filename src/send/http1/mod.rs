//! HTTP/1.1 as a sender speaks it: a request out, an answer in, on connections that are kept
//! for the next one.
//!
//! ```text
//! message ─▶ pool (a kept connection that is still good) or connector (a new one)
//!                ▼
//!            connection: writes while it reads ─▶ head, framing ─▶ body, a piece at a time
//! ```
//!
//! What receivers really do decides about each step (decision 37): they answer before they
//! have read, close what was to be kept, and break off behind a status that says it all.

mod body;
mod connection;
mod field;
mod framing;
mod head;
mod message;
mod pool;

use std::io;
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, Scheme};

pub(super) use self::body::Body;
pub(super) use self::connection::Connection;
pub(super) use self::head::Head;
pub(super) use self::message::{Message, head};
use self::pool::Pool;
use super::connector::{BoxError, Connector};
use crate::model::Peer;

/// Why an exchange came to no answer, or an answer to no end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("no connection")]
    Connect(#[source] BoxError),
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the connection was closed before the answer was complete")]
    Closed,
    #[error("the answer is not HTTP/1.1")]
    NotHttp,
    #[error("the answer's headers are too large")]
    HeadTooLarge,
    #[error("{0}")]
    Malformed(&'static str),
}

/// Sends requests and keeps their connections. A clone shares those of its original.
#[derive(Clone)]
pub(super) struct Client {
    connector: Connector,
    pool: Arc<Pool>,
}

/// The server that connections lead to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin(Scheme, Authority);

/// What is known of an exchange while it lasts, and when it was given up.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The other end of the connection that the request went out on, if it came to one.
    pub(super) peer: Option<Peer>,
    /// Whether the request went out twice.
    pub(super) again: bool,
}

impl Client {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            connector,
            pool: Arc::default(),
        }
    }

    /// The head of the answer, on the connection that has its body.
    ///
    /// A kept connection may have been closed by the receiver at any moment. Where it turns
    /// out to be, before a byte of an answer, the same bytes go out once more at once, on a
    /// new connection. The receiver may have acted on the first ones (RFC 9110, section
    /// 9.2.2), so that is for messages whose id tells a repeat (`may_repeat`); after a
    /// timeout it is not done.
    pub(super) async fn ask(
        &self,
        message: &Message,
        may_repeat: bool,
        trace: &mut Trace,
    ) -> Result<(Head, Connection), Broken> {
        if let Some(mut kept) = self.pool.take(&message.origin) {
            trace.peer = Some(kept.peer());
            match kept.ask(message).await {
                Err(broken) if may_repeat && kept.is_silent() && is_end(&broken) => {
                    trace.again = true;
                }
                answered => return Ok((answered?, kept)),
            }
        }
        // Boxed, so that a request on a kept connection carries no room for it.
        let new = Box::pin(self.connector.connect(message.origin.uri())).await;
        let (stream, peer) = new.map_err(Broken::Connect)?;
        trace.peer = Some(peer);
        let mut new = Connection::new(stream, peer);
        Ok((new.ask(message).await?, new))
    }

    /// The connection of an answer that was read serves again where both sides are done with
    /// it, and is closed otherwise.
    pub(super) fn give_back(
        &self,
        message: &Message,
        head: &Head,
        connection: Connection,
        has_ended: bool,
    ) {
        match pool::usual(head.keep) {
            Some(idle) if has_ended && connection.is_done() => {
                self.pool.put(message.origin.clone(), connection, idle);
            }
            _ => connection.close(),
        }
    }
}

impl Origin {
    fn uri(&self) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.0.clone());
        parts.authority = Some(self.1.clone());
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        Uri::from_parts(parts).unwrap_or_default()
    }
}

/// Whether the receiver ended the connection: a reset or the end of it, and nothing else.
fn is_end(broken: &Broken) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match broken {
        Broken::Closed => true,
        Broken::Io(error) => matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
        ),
        _ => false,
    }
}
