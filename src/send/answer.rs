//! Reads an answer, as much of it as is wanted.

use bytes::BytesMut;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use url::Url;

use super::http1::{Body, Broken, Client, Connection, Head, Message};
use super::text::in_utf8;
use crate::model::Answer;

/// The most bytes of a `Retry-After`. Both of its forms are shorter: an HTTP date has 29 bytes.
const RETRY_AFTER_BYTES: usize = 64;

/// The most bytes of a coding's name, which are all shorter.
const CODING_BYTES: usize = 32;

/// The most characters of a host's name: the longest that the DNS can hold (RFC 1035, section
/// 2.3.4).
const HOST_CHARS: usize = 255;

/// The most pieces of a body that are read. Each costs about a microsecond of the processor,
/// however small it is: a receiver that sends a byte in each could make an answer cost 30 ms.
pub(super) const MOST_CHUNKS: usize = 2048;

/// An answer that is being read: what came of it can be told whenever reading ends.
pub(super) struct Reading {
    pub(super) head: Head,
    pub(super) connection: Connection,
    body: Body,
    read: BytesMut,
    cap: usize,
}

impl Reading {
    pub(super) fn of(head: Head, connection: Connection, cap: usize) -> Self {
        Self {
            body: Body::of(&head),
            head,
            connection,
            read: BytesMut::new(),
            cap,
        }
    }

    /// Reads up to `cap` bytes of the body, as they come: nothing is decompressed. A longer
    /// answer is left unread, which closes its connection: reading on would put the receiver
    /// in charge of our memory and time.
    pub(super) async fn read_on(&mut self) -> Result<(), Broken> {
        for _ in 0..MOST_CHUNKS {
            let Some(piece) = self.body.piece(&mut self.connection).await? else {
                break;
            };
            let room = self.cap - self.read.len();
            self.read.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() > room {
                break;
            }
        }
        Ok(())
    }

    /// Whether another exchange can follow on the connection.
    const fn has_ended(&self) -> bool {
        self.body.has_ended()
    }

    /// Gives the connection back to the client that made it, for another exchange.
    pub(super) fn give_back(self, client: &Client, message: &Message) {
        let has_ended = self.has_ended();
        client.give_back(message, &self.head, self.connection, has_ended);
    }

    /// Gives the answer as far as it was read. `asked` is the request's URL; `incomplete` says why
    /// the body has no end, where the receiver owes it.
    pub(super) fn answer(&mut self, asked: &Url, incomplete: Option<String>) -> Answer {
        let Head {
            status, headers, ..
        } = &self.head;
        let is_whole = self.body.has_ended();
        let coding = text(headers, &CONTENT_ENCODING, CODING_BYTES)
            .filter(|coding| !coding.eq_ignore_ascii_case("identity"));
        let body = self.read.split().freeze();
        let (body, unreadable) = match &coding {
            Some(_) => (body, None),
            None => in_utf8(body, headers.get(CONTENT_TYPE), is_whole),
        };
        Answer {
            status: status.as_u16(),
            reason: reason(&self.head),
            body,
            unreadable,
            incomplete,
            coding,
            retry_after: text(headers, &RETRY_AFTER, RETRY_AFTER_BYTES),
            redirects_to: status
                .is_redirection()
                .then(|| redirects_to(headers, asked))
                .flatten(),
        }
    }
}

/// Gives the reason phrase that was sent, whole, so that what is secret in it can be found: the
/// head is bounded. It is read in UTF-8, or else in Latin-1 (RFC 9110, section 5.5). Where there is
/// none, the status stands alone.
fn reason(head: &Head) -> String {
    match str::from_utf8(&head.reason) {
        Ok(phrase) => phrase.to_owned(),
        Err(_) => head.reason.iter().copied().map(char::from).collect(),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName, most: usize) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= most).then(|| value.to_owned())
}

/// Gives the host that a `Location` names, without the rest, which may hold a token.
fn redirects_to(headers: &HeaderMap, asked: &Url) -> Option<String> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let target = asked.join(location).ok()?;
    let host: String = target.host_str()?.chars().take(HOST_CHARS).collect();
    Some(host)
}
