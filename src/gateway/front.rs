//! The front door: which address leads to which channel, and what every request passes.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Version};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::access::{Session, token_hash};
use super::bodies::{Charged, Guarded, NoRoom};
use super::budget::Account;
use super::desk::Away;
use super::line::Talk;
use super::refusal::Refusal;
use super::{
    Gateway, details, door, feed, page, security_token, session, soap, socket, transaction,
};
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
        .layer(middleware::from_fn_with_state(
            Arc::clone(gateway),
            door::enter,
        ))
        .layer(middleware::from_fn_with_state(Arc::clone(gateway), enter))
        .layer(cors(&gateway.settings.allowed_origins))
        .layer(middleware::from_fn_with_state(
            Arc::clone(gateway),
            has_host,
        ))
}

/// RFC 9112, section 3.2: a request of HTTP/1.1 names its host, and once. Whoever looks at
/// another of two, such as a proxy, would be told something else than the gateway.
async fn has_host(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    const REMEDY: Refusal = Refusal::Malformed("send one header Host, with a host in it");
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_named = match (hosts.next(), hosts.next()) {
        (None, None) => request.version() < Version::HTTP_11,
        (Some(host), None) => Authority::try_from(host.as_bytes())
            .is_ok_and(|host| !host.host().is_empty() && !host.as_str().contains('@')),
        _ => false,
    };
    if is_named {
        next.run(request).await
    } else {
        gateway.metrics.gateway().refused(REMEDY.code());
        REMEDY.into_response()
    }
}

/// What every request passes: the limits of its address, the counting, and the form of what
/// went wrong.
async fn enter(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    let channel = channel(request.uri().path());
    let counts = gateway.metrics.gateway();
    counts.request(channel);
    let address = address(&gateway, &request);
    let caller = Caller {
        address,
        account: gateway.budget.account(address),
    };
    let allowed = gateway.limits.address(address);
    let place = allowed.and_then(|()| gateway.requests.take(address));
    let mut response = match place {
        Ok(place) => {
            request.extensions_mut().insert(caller.clone());
            let request = request.map(|body| Charged::body(body, &caller.account));
            let response = next.run(request).await;
            response.map(|body| Guarded::body(body, place))
        }
        Err(refusal) => refusal.into_response(),
    };
    if response.extensions().get::<Refusal>().is_none()
        && let Some(refusal) = Refusal::of_status(response.status())
    {
        let (made, without_form) = (refusal.into_response(), response);
        response = made;
        if let Some(allowed) = without_form.headers().get(ALLOW) {
            response.headers_mut().insert(ALLOW, allowed.clone());
        }
    }
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

/// The connection that a request comes by; the server puts it beside each.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    pub talk: Arc<Talk>,
}

/// Whom a request comes from, behind trusted proxies, and whose bytes it takes.
#[derive(Clone, Debug)]
pub struct Caller {
    pub address: IpAddr,
    pub account: Account,
}

/// Whom a request comes from. Read from the right: what stands left of the first address that
/// is no trusted proxy may have been written by anybody. Where a proxy has written what is no
/// address, it is the proxy itself.
fn address(gateway: &Gateway, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    let mut address = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.address);
    let forwarded = request.headers().get_all("x-forwarded-for");
    // Bytes that are no text spoil the hop that they stand in, and no other.
    let values: Vec<_> = forwarded.iter().map(HeaderValue::as_bytes).collect();
    let mut hops = values
        .iter()
        .rev()
        .flat_map(|value| value.rsplit(|byte| *byte == b','));
    while gateway.trusts(address) {
        let Some(next) = hops.next().and_then(hop) else {
            break;
        };
        address = next;
    }
    address
}

/// An address as proxies write it: some with the port beside it, and then IPv6 in brackets.
fn hop(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let in_brackets = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match in_brackets {
        Some(address) => address.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
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
    read_up_to(MAX_BODY, body).await
}

/// Reads a request's body of up to `most` bytes, in the time that a body may take.
pub async fn read_up_to(most: usize, body: Body) -> Result<Bytes, Refusal> {
    // What says so itself is not waited for.
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::TooLarge);
    }
    let collected = Limited::new(body, most).collect();
    match tokio::time::timeout(BODY_TIME, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(error)) if is_for_want_of_room(&*error) => Err(Refusal::Busy),
        Ok(Err(_)) => Err(Refusal::Malformed("the body breaks off; send all of it")),
        Err(_) => Err(Refusal::Slow),
    }
}

fn is_for_want_of_room(error: &(dyn Error + 'static)) -> bool {
    error.is::<NoRoom>() || error.source().is_some_and(is_for_want_of_room)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_an_address_with_or_without_a_port_and_nothing_else() {
        for (text, address) in [
            ("192.0.2.7", "192.0.2.7"),
            (" 192.0.2.7:4711\t", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
        ] {
            assert_eq!(hop(text.as_bytes()), address.parse().ok(), "{text}");
        }
        for junk in [
            "",
            " ",
            "unknown",
            "_hidden",
            "192.0.2.7:",
            "192.0.2.7:x",
            "192.0.2.7:70000",
            "192.0.2",
            "[192.0.2.7]",
            "[2001:db8::7",
            "192.0.2.7 10.0.0.1",
            "\"192.0.2.7\"",
        ] {
            assert_eq!(hop(junk.as_bytes()), None, "{junk}");
        }
        assert_eq!(hop(b"192.0.2.7\xff"), None);
    }
}
