//! What Socket.IO's requests pass before the library has them: who may open a session, how
//! much may be said in one, and what is taken out of it.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_LENGTH, SEC_WEBSOCKET_KEY};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;

use super::Gateway;
use super::bodies::guarded;
use super::caller::{Caller, Peer};
use super::guests::Guest;
use super::receive::read_up_to;
use super::refusal::Refusal;
use super::upgrade::upgrade_to;
use super::wire::{EVENT, LARGEST, Wire};

/// The path at which the library listens: whatever begins so.
pub const PATH: &str = "/socket.io";

/// The byte between the packets of a body (Engine.IO 4).
const BETWEEN: u8 = 0x1e;

/// The first byte of a packet that is binary (Engine.IO 4).
const BINARY: u8 = b'b';

const UNKNOWN: Refusal =
    Refusal::Malformed("this session of Socket.IO is not known here, or has ended; open another");

const NO_WEBSOCKET: Refusal = Refusal::Malformed(
    "transport=websocket takes a request that upgrades to a WebSocket, once for each session",
);

/// Lets requests of Socket.IO pass, and all others.
pub async fn enter(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(PATH) {
        return next.run(request).await;
    }
    match passed(&gateway, request, next).await {
        Ok(response) => response,
        Err(refusal @ Refusal::Method) => {
            let allowed = [(ALLOW, HeaderValue::from_static("GET, POST"))];
            (allowed, refusal.into_response()).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn passed(gateway: &Gateway, request: Request, next: Next) -> Result<Response, Refusal> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    // As the library reads it: the first of a name, and nothing decoded.
    let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
    let is_websocket = of("transport=") == Some("websocket");
    let known = match of("sid=") {
        Some(id) => Some(gateway.guests.find(id).ok_or(UNKNOWN)?),
        None => None,
    };
    match (known, request.method(), is_websocket) {
        (known, &Method::GET, true) => {
            let guest = known.map_or_else(|| opened(gateway, &request), Ok)?;
            wired(guest, request, next).await
        }
        (None, &Method::GET, false) => {
            let guest = opened(gateway, &request)?;
            let response = next.run(with(&guest, request, None)).await;
            let body = answer(response).await;
            if let Ok((_, bytes)) = &body
                && let Some(id) = id(bytes)
            {
                gateway.guests.name(&guest, &id);
            }
            body.map_or_else(Ok, |(parts, bytes)| Ok(parts.map(|()| bytes.into())))
        }
        (Some(guest), &Method::GET, false) => {
            let answering = next.run(with(&guest, request, None));
            let response = tokio::select! {
                response = answering => response,
                () = guest.left() => return Err(Refusal::Busy),
            };
            let answered = answer(response).await;
            answered.map_or_else(Ok, |(parts, bytes)| {
                let held: Vec<_> = packets(&bytes)
                    .filter(|packet| packet.starts_with(EVENT))
                    .filter_map(|_| guest.departed())
                    .collect();
                Ok(parts.map(|()| guarded(bytes, held).into()))
            })
        }
        (Some(guest), &Method::POST, _) => {
            let (parts, body) = request.into_parts();
            let most = usize::try_from(LARGEST).unwrap_or(usize::MAX);
            let body = read_up_to(most, body).await?;
            if packets(&body).any(|packet| packet.first() == Some(&BINARY)) {
                return Err(Refusal::Malformed(
                    "nothing binary is listened to; send text",
                ));
            }
            let request = Request::from_parts(parts, Body::from(body));
            Ok(next.run(with(&guest, request, None)).await)
        }
        _ => Err(Refusal::Method),
    }
}

fn opened(gateway: &Gateway, request: &Request) -> Result<Arc<Guest>, Refusal> {
    let caller = request.extensions().get::<Caller>().ok_or(Refusal::Busy)?;
    let place = gateway.sessions.take(caller.address)?;
    let size = request.uri().path().len() + request.uri().query().map_or(0, str::len);
    let held = caller.account.take(size).ok_or(Refusal::Busy)?;
    let guests = &gateway.guests;
    Ok(guests.open(caller.clone(), place, held, &gateway.stop))
}

/// The request as far as the library needs it, which keeps it for as long as the session: not
/// what else a client put into its head, and not its connection's seat.
fn with(guest: &Arc<Guest>, mut request: Request, upgrade: Option<OnUpgrade>) -> Request {
    let mut headers = HeaderMap::new();
    if let Some(key) = request.headers_mut().remove(SEC_WEBSOCKET_KEY) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    *request.headers_mut() = headers;
    let mut extensions = Extensions::new();
    extensions.insert(Arc::clone(guest));
    if let Some(upgrade) = upgrade {
        extensions.insert(upgrade);
    }
    *request.extensions_mut() = extensions;
    request
}

async fn wired(guest: Arc<Guest>, mut request: Request, next: Next) -> Result<Response, Refusal> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let peer = request.extensions_mut().remove::<Peer>();
    let (upgrade, peer) = upgrade.zip(peer).ok_or(NO_WEBSOCKET)?;
    if !request.headers().contains_key(SEC_WEBSOCKET_KEY) || !guest.wire() {
        return Err(NO_WEBSOCKET);
    }
    let wire = Wire::new(upgrade, Arc::clone(&guest), peer.talk);
    let upgrade = upgrade_to(wire).await.ok_or(NO_WEBSOCKET)?;
    Ok(next.run(with(&guest, request, Some(upgrade))).await)
}

/// What the library answers, where it is what was asked for; its bodies are there at once.
async fn answer(response: Response) -> Result<(Response<()>, Bytes), Response> {
    if response.status() != StatusCode::OK {
        return Err(response);
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    Ok((Response::from_parts(parts, ()), bytes))
}

fn packets(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == BETWEEN)
}

/// The id of a Socket.IO session that has just been opened, out of the answer that says so.
fn id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Opened {
        sid: String,
    }
    let opened: Opened = serde_json::from_slice(body.strip_prefix(b"0")?).ok()?;
    Some(opened.sid)
}
