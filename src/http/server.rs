//! The worker's own HTTP endpoint, for the operator's tools only.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::accept::{Accepting, Host};
use super::seats::Seat;
use super::{Health, Metrics, exposition};

/// How long a client may take for a request's head, and for the next one on a connection that is
/// kept alive: a client that says nothing must not hold one of the few connections.
const HEAD_TIME: Duration = Duration::from_secs(10);

const ACCEPTING: Accepting = Accepting {
    what: "metrics and health",
    // A scraper and a few probes need far fewer; more would be held in memory for nothing.
    most: 64,
    most_of_address: 16,
    pause: Duration::from_secs(1),
    // The answers are small and ready: what is not out after this has no reader.
    grace: Duration::from_secs(1),
};

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// The media type that tools read which do not ask for another, `promtool` among them.
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers until `stop`, finishes the answers under way, and returns.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    health: Health,
    stop: CancellationToken,
) {
    let endpoint = Endpoint {
        metrics,
        health,
        stop,
    };
    endpoint.serve(listener).await;
}

#[derive(Clone)]
struct Endpoint {
    metrics: Metrics,
    health: Health,
    stop: CancellationToken,
}

impl Host for Endpoint {
    fn stands_for_many(&self, _: IpAddr) -> bool {
        false
    }

    fn converse(
        &self,
        stream: TcpStream,
        _: SocketAddr,
        seat: Seat,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.clone().converse(stream, seat)
    }

    fn turn_away(&self, _: TcpStream) {}
}

impl Endpoint {
    async fn serve(self, listener: TcpListener) {
        let stop = self.stop.clone();
        ACCEPTING.run(listener, stop, self).await;
    }

    async fn converse(self, stream: TcpStream, seat: Seat) {
        // Answers are ready at once: a connection that waits for one is idle all the same.
        let service = service_fn(|request: Request<Incoming>| {
            let (path, headers) = (request.uri().path(), request.headers());
            let answer = self.answer(request.method(), path, headers);
            async { Ok::<_, Infallible>(answer) }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = seat.lost() => return,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection for metrics and health broke");
        }
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        // hyper leaves out the body where the method is HEAD (RFC 9110 section 9.3.2).
        let reads = method == Method::GET || method == Method::HEAD;
        match path {
            "/metrics" | "/healthz" | "/readyz" if !reads => {
                let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
                let allowed = HeaderValue::from_static("GET, HEAD");
                refusal.headers_mut().insert(ALLOW, allowed);
                refusal
            }
            "/metrics" if exposition::wants_openmetrics(headers) => {
                respond(StatusCode::OK, OPENMETRICS, self.metrics.render())
            }
            "/metrics" => {
                let text = exposition::of_openmetrics(&self.metrics.render());
                respond(StatusCode::OK, PROMETHEUS, text)
            }
            "/healthz" => text(StatusCode::OK, "alive\n"),
            "/readyz" => match self.health.is_ready() {
                Ok(()) => text(StatusCode::OK, "ready\n"),
                Err(reasons) => text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "see /metrics, /healthz and /readyz\n",
            ),
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(status, TEXT, body)
}

fn respond(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    // A proxy in between must not repeat yesterday's health.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
