//! Reading a request's body: as much as is allowed, in the time that it may take.

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use super::bodies::NoRoom;
use super::refusal::Refusal;

/// The largest body that is read, in bytes: far above any request that there is, of which the
/// largest names a token and a few fields.
const MAX_BODY: usize = 64 * 1024;

/// How long a client may take to send its whole body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Reads a request's body, if it comes in time and is not too large.
pub async fn read_body(body: Body) -> Result<Bytes, Refusal> {
    read_up_to(MAX_BODY, body).await
}

/// Reads a request's body of up to `most` bytes, in the time that a body may take.
pub async fn read_up_to(most: usize, body: Body) -> Result<Bytes, Refusal> {
    // What says so itself is not waited for.
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::TooLarge);
    }
    let collected = Limited::new(body, most).collect();
    match tokio::time::timeout(BODY_TIME, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(error)) if is_for_want_of_room(&*error) => Err(Refusal::Busy),
        Ok(Err(_)) => Err(Refusal::Malformed("the body breaks off; send all of it")),
        Err(_) => Err(Refusal::Slow),
    }
}

fn is_for_want_of_room(error: &(dyn Error + 'static)) -> bool {
    error.is::<NoRoom>() || error.source().is_some_and(is_for_want_of_room)
}
