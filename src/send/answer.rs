//! Reads an answer, as much of it as is wanted.

use bytes::BytesMut;
use http::Response;
use http::header::{LOCATION, RETRY_AFTER};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use url::Url;

use crate::model::Answer;

/// Both forms of `Retry-After` are shorter: an HTTP date has 29 bytes.
const RETRY_AFTER_BYTES: usize = 64;

/// The longest name that the DNS can hold (RFC 1035, section 2.3.4).
const HOST_CHARS: usize = 255;

/// Chunks of a body that are read. Each costs about a microsecond of the processor, however
/// small it is: a receiver that sends a byte in each could make an answer cost 30 ms.
pub(super) const MOST_CHUNKS: usize = 2048;

/// Reads up to `cap` bytes of the body, as they came: nothing is decompressed. A longer
/// answer is left unread, which closes its connection: reading on would put the receiver in
/// charge of our memory and time. `asked` is the request's URL.
pub(super) async fn read(
    mut response: Response<Incoming>,
    asked: &Url,
    cap: usize,
) -> hyper::Result<Answer> {
    let status = response.status().as_u16();
    let reason = reason(&response);
    let retry_after = retry_after(&response);
    let redirects_to = redirects_to(&response, asked);

    // Copied, because a chunk would keep the connection's whole read buffer alive.
    let mut body = BytesMut::new();
    for _ in 0..MOST_CHUNKS {
        let Some(frame) = response.body_mut().frame().await else {
            break;
        };
        let Ok(chunk) = frame?.into_data() else {
            continue;
        };
        let room = cap - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            break;
        }
    }
    Ok(Answer {
        status,
        reason,
        body: body.freeze(),
        retry_after,
        redirects_to,
    })
}

fn reason(response: &Response<Incoming>) -> String {
    let sent = response
        .extensions()
        .get::<ReasonPhrase>()
        .map(|phrase| String::from_utf8_lossy(phrase.as_bytes()))
        .filter(|phrase| !phrase.is_empty());
    match sent {
        // Whole, so that what is secret in it can be found: the head is bounded.
        Some(phrase) => phrase.into_owned(),
        None => response
            .status()
            .canonical_reason()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn retry_after(response: &Response<Incoming>) -> Option<String> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    (value.len() <= RETRY_AFTER_BYTES).then(|| value.to_owned())
}

/// The rest of a `Location` may hold a token.
fn redirects_to(response: &Response<Incoming>, asked: &Url) -> Option<String> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let target = asked.join(location).ok()?;
    let host: String = target.host_str()?.chars().take(HOST_CHARS).collect();
    Some(host)
}
