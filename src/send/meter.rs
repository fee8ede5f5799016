//! A connection that stops reading where an answer has no end.
//!
//! Heads, interim answers and bodies have their own bounds (`send::http1`), but a receiver can
//! send TLS records without content for as long as it is read, at the full speed of the
//! network: that would cost no memory, but the processor.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::model::Peer;

/// The most bytes that may arrive between two writes: a handshake, a head and a body up to their
/// caps with the lengths of its chunks.
const MOST: usize = 160 * 1024;

#[derive(Debug, thiserror::Error)]
#[error("the answer goes on for more than {MOST} bytes")]
pub(super) struct TooMuch;

#[derive(Debug)]
pub(super) struct Metered {
    stream: TcpStream,
    /// How many bytes were read since the last write, and so since the last request.
    read: usize,
    /// Where the connection leads, before any TLS.
    pub(super) peer: Peer,
}

impl Metered {
    pub(super) fn new(stream: TcpStream, address: IpAddr, proxy: Option<IpAddr>) -> Self {
        let peer = Peer {
            address,
            proxy,
            tls: None,
        };
        Self {
            stream,
            read: 0,
            peer,
        }
    }

    /// Notes a write, and whether the receiver takes it: one that takes nothing may not say more
    /// either.
    fn wrote(&mut self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(1..)) = polled {
            self.read = 0;
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read > MOST {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.read += buf.filled().len() - before;
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Answers what the TLS connector asks of a stream.
impl Connection for Metered {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
