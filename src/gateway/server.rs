//! Connections: who gets one, how long their clients may say nothing, and how they end.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;
use tracing::debug;

use super::Gateway;
use super::bodies::Guarded;
use super::caller::Peer;
use super::line::{Line, Talk};
use super::refusal::Refusal;
use crate::http::accept::{Accepting, Host};
use crate::http::seats::Seat;

/// How long it may be from one head's end to the next one's. The line has shorter times for what a
/// client that means well is not slow with.
const HEAD_TIME: Duration = Duration::from_secs(90);

/// The bytes of a connection's buffer; a request's head must fit. hyper takes no less than 8 KiB.
const BUFFER: usize = 16 * 1024;

/// Answers until the gateway stops, then ends what is under way and returns.
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, router: Router) {
    let accepting = Accepting {
        what: "the gateway",
        most: gateway.settings.max_connections,
        most_of_address: gateway.settings.max_connections_per_address,
        pause: Duration::from_millis(100),
        // Everything that waits has been told to end by then.
        grace: Duration::from_secs(5),
    };
    let stop = gateway.stop.clone();
    accepting
        .run(listener, stop, Server { gateway, router })
        .await;
}

struct Server {
    gateway: Arc<Gateway>,
    router: Router,
}

impl Host for Server {
    fn stands_for_many(&self, address: IpAddr) -> bool {
        self.gateway.trusts(address)
    }

    fn converse(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        seat: Seat,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (gateway, router) = (Arc::clone(&self.gateway), self.router.clone());
        converse(gateway, stream, peer, router, seat)
    }

    fn turn_away(&self, stream: TcpStream) {
        self.gateway.metrics.gateway().refused(Refusal::Busy.code());
        // A connection that has just begun takes this much; who does not read it learns the
        // same from its end.
        let _ = stream.try_write(Refusal::Busy.raw("503 Service Unavailable").as_bytes());
    }
}

async fn converse(
    gateway: Arc<Gateway>,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    seat: Seat,
) {
    // Events are small, and each is wanted at once.
    let _ = stream.set_nodelay(true);
    let talk = Talk::new(seat);
    let lost = talk.lost();
    let line = Line::new(stream, Arc::clone(&talk));
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = talk.answers();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer {
            address: peer.ip(),
            talk: Arc::clone(&talk),
        });
        let answered = router.clone().oneshot(request);
        async {
            let response = answered.await.unwrap_or_else(|never| match never {});
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                answering.becomes_socket();
                return Ok(response);
            }
            Ok::<_, Infallible>(response.map(|body| Guarded::body(body, answering)))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(line), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = lost => return,
        () = gateway.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection of the gateway broke");
    }
}
