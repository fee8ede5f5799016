//! Connections, and the one path that every request takes.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::State;
use super::behaviour::{Reply, Step};
use super::received::Received;

/// How long to wait between two tries to accept when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many bytes of a body are kept; more of it is read and forgotten.
const KEPT_BODY_BYTES: usize = 1 << 20;

/// Ends a connection without an answer.
#[derive(Debug, Error)]
enum NoAnswer {
    #[error("the connection is dropped as told")]
    AsTold,
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

pub(super) async fn accept(listener: TcpListener, state: Arc<State>) {
    // Ends with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&state)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let answer = service_fn(|request| answer(request, &state));
    // An error is a sender that went away, or a connection dropped as told.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    state: &State,
) -> Result<Response<Full<Bytes>>, NoAnswer> {
    let arrived = Instant::now();
    let endpoint = state.endpoints.of(request.uri().path());
    let _in_flight = endpoint.enter();
    let (head, body) = request.into_parts();
    let wanted = state.log.wants_requests();
    let body = read(body, if wanted { KEPT_BODY_BYTES } else { 0 }).await?;
    let behaviour = endpoint.behaviour();
    let Some(step) = behaviour.next() else {
        return Err(NoAnswer::AsTold);
    };
    if wanted {
        let path_and_query = head.uri.path_and_query();
        let received = Received {
            arrived,
            method: head.method,
            path_and_query: path_and_query.map_or_else(String::new, ToString::to_string),
            headers: head.headers,
            body,
            reply: step.reply,
        };
        state.log.take(received).await;
    }
    // Counted after it was logged: who waited for the count finds the request.
    endpoint.count();
    state.total.add_one();
    if !step.delay.is_zero() {
        tokio::time::sleep(step.delay).await;
    }
    match step.reply {
        Reply::Status(status) => Ok(response(status, step)),
        Reply::Hang => std::future::pending().await,
        Reply::Drop => Err(NoAnswer::AsTold),
    }
}

/// Reads the body to its end and keeps what is within the limit.
async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, hyper::Error> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let room = limit - kept.len();
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(kept.freeze())
}

fn response(status: http::StatusCode, step: &Step) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(step.body.clone()));
    *response.status_mut() = status;
    if !step.body.is_empty() {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
    }
    for (name, value) in &step.headers {
        response.headers_mut().insert(name, value.clone());
    }
    if let Some(reason) = &step.reason {
        response.extensions_mut().insert(reason.clone());
    }
    response
}
