//! The front door: which address leads to which channel, and what every request passes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::access::{Session, token_hash};
use super::desk::Away;
use super::refusal::Refusal;
use super::{Gateway, details, feed, page, security_token, session, soap, socket, transaction};
use crate::http::metrics::Channel;
use crate::store::tokens::{ApiTokenRow, TokenHash};

/// Far above any request that there is: the largest names a token and a few fields.
const MAX_BODY: usize = 64 * 1024;

/// For the whole body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How long a client waits for a gateway that begins, and how often it looks.
const READY: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(10);

/// How long browsers remember which origins are allowed.
const PREFLIGHT: Duration = Duration::from_hours(1);

pub fn router(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route(
            "/Forms/WebServices/SSOService.asmx",
            get(soap::describe).post(soap::answer),
        )
        .route("/payment/NVP.aspx", post(details::answer))
        .route("/credit/transactions/{id}", get(transaction::answer))
        .route("/v1/transactions/{id}", get(transaction::answer))
        .route("/v1/security-token", post(security_token::answer))
        .route("/v1/sessions", post(session::issue))
        .route("/v1/session", get(session::answer))
        .route("/v1/session/events", get(feed::of_session))
        .route("/v1/events", get(feed::of_merchant))
        .route("/v1/listen.js", get(page::script))
        .route("/v1/listen", get(page::page))
        .fallback(async || Refusal::NotFound)
        .method_not_allowed_fallback(async || Refusal::Method)
        .with_state(Arc::clone(gateway))
        .layer(socket::layer(gateway))
        .layer(middleware::from_fn_with_state(Arc::clone(gateway), enter))
        .layer(cors(&gateway.settings.allowed_origins))
}

/// What every request passes: the limit of its address, and the counting.
async fn enter(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let channel = channel(request.uri().path());
    let counts = gateway.metrics.gateway();
    counts.request(channel);
    let address = address(&gateway, &request);
    let mut response = match gateway.limits.address(address) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        counts.refused(refusal.code());
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn channel(path: &str) -> Channel {
    match path {
        "/Forms/WebServices/SSOService.asmx" => Channel::Soap,
        "/payment/NVP.aspx" => Channel::Details,
        "/v1/security-token" => Channel::SecurityToken,
        "/v1/events" | "/v1/session/events" => Channel::Feed,
        "/v1/session" | "/v1/sessions" => Channel::Session,
        _ if path.starts_with("/socket.io") => Channel::Socket,
        _ if path.starts_with("/v1/listen") => Channel::Page,
        _ if path.contains("/transactions/") => Channel::Transaction,
        _ => Channel::Other,
    }
}

/// Whom a connection comes from; the server puts it beside each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Whom a request comes from, behind trusted proxies. Read from the right: what stands left of the first address that is no trusted proxy may
/// have been written by anybody.
fn address(gateway: &Gateway, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    let mut address = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip());
    let forwarded = request.headers().get_all("x-forwarded-for");
    let texts = forwarded.iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = texts.flat_map(|text| text.split(',')).collect();
    for hop in hops.iter().rev() {
        if !gateway.trusts(address) {
            break;
        }
        let Ok(next) = hop.trim().parse() else {
            break;
        };
        address = next;
    }
    address
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins.iter().filter_map(|origin| origin.parse().ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("soapaction"),
        ])
        .max_age(PREFLIGHT)
}

/// The body, if it comes in time and is not too large.
pub async fn read_body(body: Body) -> Result<Bytes, Refusal> {
    let collected = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIME, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(_)) => Err(Refusal::Malformed("the body breaks off; send all of it")),
        Err(_) => Err(Refusal::Slow),
    }
}

/// The token of the Authorization header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A merchant that asks, with the hash of its token.
pub struct Merchant {
    pub token: Arc<ApiTokenRow>,
    pub hash: TokenHash,
}

impl Gateway {
    /// Waits for the reader. Until it has read up to the present, nobody knows the time and
    /// what is new: a moment after the start, and after a failover.
    async fn ready(&self) -> Result<(), Away> {
        let ready = async {
            while self.hub.moment().is_none() {
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::time::timeout(READY, ready).await.map_err(|_| Away)
    }

    /// The merchant whose API token this is; it has the rate limit that goes with it.
    pub async fn merchant(&self, token: Option<&str>) -> Result<Merchant, Refusal> {
        let hash = token.and_then(token_hash).ok_or(Refusal::Unauthorized)?;
        self.ready().await?;
        let found = self.access.api_token(&hash, self.clock.now()).await?;
        let token = found.ok_or(Refusal::Unauthorized)?;
        self.limits.token(&hash)?;
        Ok(Merchant { token, hash })
    }

    /// The session whose token this is, ended or not.
    pub async fn session(&self, token: Option<&str>) -> Result<Arc<Session>, Refusal> {
        let hash = token.and_then(token_hash).ok_or(Refusal::Unauthorized)?;
        self.ready().await?;
        let found = self.access.session(&hash).await?;
        let session = found.ok_or(Refusal::Unauthorized)?;
        self.limits.token(&hash)?;
        Ok(session)
    }
}
