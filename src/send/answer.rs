//! Reads an answer, as much of it as is wanted.

use bytes::BytesMut;
use hyper::ext::ReasonPhrase;
use reqwest::Response;
use reqwest::header::RETRY_AFTER;

use crate::model::Answer;

/// A reason phrase is a line for people; a longer one is not kept whole.
const REASON_CHARS: usize = 200;

/// Both forms of `Retry-After` are shorter: an HTTP date has 29 bytes.
const RETRY_AFTER_BYTES: usize = 64;

/// Reads up to `cap` bytes of the body. A longer answer is left unread, which closes
/// its connection: reading on would put the receiver in charge of our memory and time.
pub(super) async fn read(mut response: Response, cap: usize) -> reqwest::Result<Answer> {
    let status = response.status().as_u16();
    let reason = reason(&response);
    let retry_after = retry_after(&response);

    // Copied, because a chunk would keep the connection's whole read buffer alive.
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
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
    })
}

fn reason(response: &Response) -> String {
    let sent = response
        .extensions()
        .get::<ReasonPhrase>()
        .map(|phrase| String::from_utf8_lossy(phrase.as_bytes()))
        .filter(|phrase| !phrase.is_empty());
    match sent {
        Some(phrase) => phrase.chars().take(REASON_CHARS).collect(),
        None => response
            .status()
            .canonical_reason()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn retry_after(response: &Response) -> Option<String> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    (value.len() <= RETRY_AFTER_BYTES).then(|| value.to_owned())
}
