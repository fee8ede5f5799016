//! Several ways to one end, of which the first that succeeds counts.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::stream::{FuturesUnordered, Stream, StreamExt};

/// How long one way is tried alone (RFC 8305, section 8).
pub(super) const HEAD_START: Duration = Duration::from_millis(250);

/// Tries ways one after the other, the next one as soon as one fails or its head start is over;
/// `tries` may take its time with each. Where none succeeds, the error is the last one's, or `none`
/// where there was none.
pub(super) async fn first_to_succeed<T, E, F>(tries: impl Stream<Item = F>, none: E) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut tries = pin!(tries.fuse());
    let mut trying = FuturesUnordered::new();
    let (mut failure, mut is_next_due) = (none, true);
    while !(tries.is_done() && trying.is_empty()) {
        tokio::select! {
            next = tries.next(), if is_next_due && !tries.is_done() => {
                is_next_due = next.is_none();
                trying.extend(next);
            }
            Some(ended) = trying.next() => match ended {
                Ok(succeeded) => return Ok(succeeded),
                Err(error) => (failure, is_next_due) = (error, true),
            },
            () = tokio::time::sleep(HEAD_START), if !is_next_due => is_next_due = true,
        }
    }
    Err(failure)
}
