//! Bodies that hold something for as long as they last: a request's what its bytes are charged
//! to, an answer's what is free again once it is out.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Error;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::budget::{Account, Held};

/// A body, and something that is dropped with it.
#[derive(Debug)]
pub struct Guarded<G> {
    body: Body,
    _guard: G,
}

impl<G: Send + Unpin + 'static> Guarded<G> {
    pub fn body(body: Body, guard: G) -> Body {
        Body::new(Self {
            body,
            _guard: guard,
        })
    }
}

impl<G: Unpin> HttpBody for Guarded<G> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Makes bytes that keep something until hyper has written all of them.
#[must_use]
pub fn guarded<G: Send + 'static>(bytes: Bytes, guard: G) -> Bytes {
    Bytes::from_owner(Owned {
        bytes,
        _guard: guard,
    })
}

struct Owned<G> {
    bytes: Bytes,
    _guard: G,
}

impl<G> AsRef<[u8]> for Owned<G> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a client sends, charged to its account as it comes.
#[derive(Debug)]
pub struct Charged {
    body: Body,
    account: Account,
    held: Option<Held>,
}

/// That the account has no room for more of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many bytes are on their way")]
pub struct NoRoom;

impl Charged {
    pub fn body(body: Body, account: &Account) -> Body {
        Body::new(Self {
            body,
            account: account.clone(),
            held: None,
        })
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        let fits = match &mut self.held {
            Some(held) => held.grow(bytes),
            held @ None => {
                *held = self.account.take(bytes);
                held.is_some()
            }
        };
        fits.then_some(()).ok_or_else(|| Error::new(NoRoom))
    }
}

impl HttpBody for Charged {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(error) = self.charge(data.len())
        {
            return Poll::Ready(Some(Err(error)));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
