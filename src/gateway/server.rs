//! Connections: how many, how long their heads may take, and how they end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

use super::front::Peer;
use crate::http::accept::Accepting;

/// For a request's head, and for the next one on a connection that is kept alive. Browsers
/// and proxies keep theirs for about a minute.
const HEAD_TIME: Duration = Duration::from_secs(75);

/// Of a connection; a request's head must fit. hyper takes no less than 8 KiB.
const BUFFER: usize = 16 * 1024;

/// Answers until `stop`, then ends what is under way and returns.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    max_connections: usize,
    stop: CancellationToken,
) {
    let accepting = Accepting {
        what: "the gateway",
        most: max_connections,
        pause: Duration::from_millis(100),
        // Everything that waits has been told to end by then.
        grace: Duration::from_secs(5),
    };
    let converse = |stream, peer| converse(stream, peer, router.clone(), stop.clone());
    accepting.run(listener, stop.clone(), converse).await;
}

async fn converse(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    // Events are small, and each is wanted at once.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let answered = router.clone().oneshot(request);
        async { Ok::<_, Infallible>(answered.await.unwrap_or_else(|never| match never {})) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection of the gateway broke");
    }
}
