//! A connection, and one exchange at a time on it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::buf::Chain;
use bytes::{Buf, Bytes, BytesMut};
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::head::{self, Head};
use super::{Broken, Message};
use crate::model::Peer;
use crate::send::connector::Stream;

/// What is asked of the stream at a time, bytes: most answers whole.
const READ: usize = 4 * 1024;

/// How many interim answers (1xx) are read before the answer. Servers send one or two; each is
/// a head to be read, and whoever sends nothing else would have us read thousands.
const MOST_INTERIM: usize = 32;

pub(in crate::send) struct Connection {
    /// Boxed, because connections are handed on for each request, and one with TLS has more than
    /// a kilobyte.
    stream: Box<Stream>,
    peer: Peer,
    sending: Sending,
    /// What was read and is not used yet.
    pub(super) ahead: BytesMut,
    /// Whether nothing was read since the last request began.
    silent: bool,
}

/// How far a request is out.
enum Sending {
    Unsent(Chain<Bytes, Bytes>),
    Unflushed,
    Sent,
    Failed(io::Error),
}

impl Connection {
    pub(super) fn new(stream: Stream, peer: Peer) -> Self {
        Self {
            stream: Box::new(stream),
            peer,
            sending: Sending::Sent,
            ahead: BytesMut::new(),
            silent: true,
        }
    }

    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    /// Sends a request, and reads the head of what the receiver says to it.
    pub(super) async fn ask(&mut self, message: &Message) -> Result<Head, Broken> {
        self.sending = Sending::Unsent(message.bytes());
        self.silent = true;
        for _ in 0..=MOST_INTERIM {
            let head = self.head().await?;
            if !head.is_interim() {
                return Ok(head);
            }
        }
        Err(Broken::Malformed("the answer is put off too often"))
    }

    async fn head(&mut self) -> Result<Head, Broken> {
        let mut searched = 0;
        loop {
            while self.ahead.starts_with(b"\n") || self.ahead.starts_with(b"\r\n") {
                // Of an answer before, by servers that count badly (RFC 9112, section 2.2).
                let feed = self.ahead.iter().position(|&byte| byte == b'\n');
                self.ahead.advance(feed.map_or(0, |at| at + 1));
            }
            if !head::may_begin(&self.ahead) {
                return Err(Broken::NotHttp);
            }
            if let Some(end) = head::end(&self.ahead, searched) {
                return Head::parse(&self.ahead.split_to(end));
            }
            if self.ahead.len() > head::LONGEST {
                return Err(Broken::HeadTooLarge);
            }
            // An end that is cut has at most three bytes here.
            searched = self.ahead.len().saturating_sub(3);
            self.read().await?;
        }
    }

    /// Reads on; that nothing comes any more is an error.
    pub(super) async fn read(&mut self) -> Result<(), Broken> {
        if self.read_or_end().await? {
            Ok(())
        } else {
            Err(Broken::Closed)
        }
    }

    /// Reads on, and goes on with the request meanwhile: a receiver may answer before it has
    /// read, and then close. What it said by then is read, whatever becomes of the request.
    /// False at the end of the connection.
    pub(super) async fn read_or_end(&mut self) -> Result<bool, Broken> {
        self.ahead.reserve(READ);
        let read = poll_fn(|cx| {
            self.go_on_sending(cx);
            pin!(self.stream.read_buf(&mut self.ahead)).poll(cx)
        });
        let length = read.await?;
        self.silent &= length == 0;
        if length == 0
            && let Sending::Failed(error) = std::mem::replace(&mut self.sending, Sending::Sent)
        {
            return Err(error.into());
        }
        Ok(length > 0)
    }

    /// Waits until the request is out, or cannot go out any more.
    pub(in crate::send) async fn finish_sending(&mut self) {
        poll_fn(|cx| {
            self.go_on_sending(cx);
            match self.sending {
                Sending::Unsent(_) | Sending::Unflushed => Poll::Pending,
                Sending::Sent | Sending::Failed(_) => Poll::Ready(()),
            }
        })
        .await;
    }

    fn go_on_sending(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            self.sending = Sending::Failed(error);
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Pin::new(&mut self.stream);
        if let Sending::Unsent(rest) = &mut self.sending {
            while rest.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 2];
                let count = rest.chunks_vectored(&mut slices);
                match ready!(stream.as_mut().poll_write_vectored(cx, &slices[..count]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => rest.advance(written),
                }
            }
            self.sending = Sending::Unflushed;
        }
        if let Sending::Unflushed = self.sending {
            ready!(stream.poll_flush(cx))?;
            self.sending = Sending::Sent;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether no byte of an answer came to the last request.
    pub(super) const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether request and answer are over, and nothing is left of either.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.sending, Sending::Sent) && self.ahead.is_empty()
    }

    /// Whether an idle connection can still be used. Whatever comes unasked, be it its end,
    /// says no.
    pub(super) fn is_good(&mut self) -> bool {
        self.read_or_end().now_or_never().is_none()
    }

    /// Lets go of what an idle connection does not need.
    pub(super) fn rest(&mut self) {
        self.ahead = BytesMut::new();
    }

    /// Says good-bye where that takes no time.
    pub(super) fn close(mut self) {
        let _ = self.stream.shutdown().now_or_never();
    }
}
