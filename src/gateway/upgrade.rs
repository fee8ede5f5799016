//! Upgrades of what is no connection of hyper's.

use std::convert::Infallible;
use std::future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The upgrade that hands `io` to whoever awaits it. hyper makes upgrades of connections and
/// of nothing else, so here is one that is rehearsed in memory: a request that upgrades and
/// its answer, with `io` behind them.
pub async fn upgrade_to<T>(io: T) -> Option<OnUpgrade>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let upgrade = Mutex::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        let made = hyper::upgrade::on(&mut request);
        *upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        future::ready(Ok::<_, Infallible>(answer))
    });
    let rehearsal = Rehearsal {
        io,
        request:
            b"GET / HTTP/1.1\r\nhost: wire\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        is_answered: false,
    };
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(rehearsal), service)
        .with_upgrades();
    connection.await.ok()?;
    upgrade.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A request to be read, an answer that nobody reads, and then what is behind them.
struct Rehearsal<T> {
    io: T,
    request: &'static [u8],
    is_answered: bool,
}

impl<T: AsyncRead + Unpin> AsyncRead for Rehearsal<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_answered {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        if self.request.is_empty() {
            // The answer comes in this very turn, and a read after it.
            return Poll::Pending;
        }
        let (now, later) = self
            .request
            .split_at(self.request.len().min(buf.remaining()));
        buf.put_slice(now);
        self.request = later;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rehearsal<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_answered {
            return Pin::new(&mut self.io).poll_write(cx, buf);
        }
        self.is_answered = buf.ends_with(b"\r\n\r\n");
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_it_was_made_of_is_handed_over_with_every_byte() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"early").await.unwrap();
        let upgrade = upgrade_to(ours).await.unwrap();
        let mut handed = TokioIo::new(upgrade.await.unwrap());
        theirs.write_all(b", late").await.unwrap();
        let mut heard = [0; 11];
        handed.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"early, late");
        handed.write_all(b"back").await.unwrap();
        let mut said = [0; 4];
        theirs.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"back");
    }
}
