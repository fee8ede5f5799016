//! A connection as it comes from the network: how long its client may say nothing or take
//! nothing, and an answer in the gateway's form where hyper refuses a head by itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::refusal::Refusal;
use crate::http::seats::Seat;

/// How long it may be from the connection to the first byte of a request: who connects has
/// something to ask.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// How long it may be from a head's first byte to its last.
const HEAD: Duration = Duration::from_secs(10);

/// How long it may be between requests. Browsers and proxies keep their connections for about a
/// minute.
const REST: Duration = Duration::from_secs(75);

/// A client that takes nothing for so long is gone, or means no good.
const STALL: Duration = Duration::from_secs(30);

/// What hyper's own answers begin with: it sends none but for a head that it cannot read.
const REFUSED: &[u8] = b"HTTP/1.1 4";

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Nothing has come yet.
    Silent,
    /// A head has begun.
    Head,
    /// A request is being answered, or the connection is a WebSocket.
    Busy,
    /// The answer is made, and not all of it is out.
    Ending,
    /// The answer is out, and nothing is asked.
    Resting,
}

/// What the conversation tells the connection.
#[derive(Debug)]
pub struct Talk {
    phase: AtomicU8,
    seat: Seat,
}

impl Talk {
    #[must_use]
    pub fn new(seat: Seat) -> Arc<Self> {
        Arc::new(Self {
            phase: AtomicU8::new(Phase::Silent as u8),
            seat,
        })
    }

    /// A head is whole; the request is being answered until what this returns is dropped.
    #[must_use]
    pub fn answers(self: &Arc<Self>) -> Answering {
        self.set(Phase::Busy);
        self.seat.set_idle(false);
        Answering(Some(Arc::clone(self)))
    }

    /// Resolves when the connection is to end at once.
    pub fn lost(&self) -> WaitForCancellationFutureOwned {
        self.seat.lost()
    }

    /// Whether the connection is one to be ended before others.
    pub fn set_idle(&self, is_idle: bool) {
        self.seat.set_idle(is_idle);
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Answering(Option<Arc<Talk>>);

impl Answering {
    /// The connection is a WebSocket from here on, with limits of its own; it is idle until it
    /// is admitted.
    pub fn becomes_socket(mut self) {
        if let Some(talk) = self.0.take() {
            talk.set_idle(true);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(talk) = &self.0 {
            talk.set(Phase::Ending);
            talk.set_idle(true);
        }
    }
}

/// The connection.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    talk: Arc<Talk>,
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs while the client is to say something.
    silence: Pin<Box<Sleep>>,
    /// Whether `silence` runs for this rest.
    rests: bool,
    /// Runs while the client takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// What is still to be sent in the place of hyper's answer.
    instead: Bytes,
}

impl Line {
    #[must_use]
    pub fn new(stream: TcpStream, talk: Arc<Talk>) -> Self {
        Self {
            stream,
            lost: Box::pin(talk.lost()),
            talk,
            silence: Box::pin(sleep(FIRST_BYTE)),
            rests: false,
            stall: None,
            instead: Bytes::new(),
        }
    }

    /// Whether the client has said nothing for too long.
    fn is_too_silent(&mut self, cx: &mut Context<'_>) -> bool {
        if self.talk.is(Phase::Busy) || self.talk.is(Phase::Ending) {
            return false;
        }
        let rests = self.talk.is(Phase::Resting);
        if rests && !self.rests {
            self.silence.as_mut().reset(Instant::now() + REST);
        }
        self.rests = rests;
        self.silence.as_mut().poll(cx).is_ready()
    }

    /// Says something if the client takes it, and fails when it takes nothing for too long.
    fn poll_say(
        &mut self,
        cx: &mut Context<'_>,
        say: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(said) = say(Pin::new(&mut self.stream), cx) {
            self.stall = None;
            return Poll::Ready(said);
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends what stands in the place of hyper's answer.
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let instead = self.instead.clone();
            let said = ready!(self.poll_say(cx, |stream, cx| stream.poll_write(cx, &instead)))?;
            self.instead.advance(said);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether these are hyper's own: there is no request that they could answer.
    fn is_refusal(&self, bytes: &[u8]) -> bool {
        let is_own = self.talk.is(Phase::Busy) || self.talk.is(Phase::Ending);
        !is_own && bytes.starts_with(REFUSED)
    }
}

/// An answer of hyper's in the gateway's form; its own has the status and nothing else.
fn refusal(hypers: &[u8]) -> Bytes {
    let is_long = hypers
        .windows(4)
        .take(2 * REFUSED.len())
        .any(|at| matches!(at, b" 431" | b" 414"));
    let (status, refusal) = if is_long {
        ("431 Request Header Fields Too Large", Refusal::TooLarge)
    } else {
        let message = "no HTTP request that can be read; speak HTTP/1.1, without TLS";
        ("400 Bad Request", Refusal::Malformed(message))
    };
    refusal.raw(status).into()
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.lost.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            let waited = self.talk.is(Phase::Silent) || self.talk.is(Phase::Resting);
            if waited && buf.filled().len() > before {
                self.talk.set(Phase::Head);
                self.rests = false;
                self.silence.as_mut().reset(Instant::now() + HEAD);
            }
            return Poll::Ready(read);
        }
        if self.is_too_silent(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if self.is_refusal(buf) {
            self.instead = refusal(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        self.poll_say(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.first().is_some_and(|first| self.is_refusal(first)) || !self.instead.is_empty() {
            let first = bufs.first().map_or(&[][..], |first| first);
            return self.poll_write(cx, first);
        }
        self.poll_say(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        // hyper flushes once all of an answer has been written.
        if self.talk.is(Phase::Ending) {
            self.talk.set(Phase::Resting);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
