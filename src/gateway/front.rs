//! The front door: which address leads to which channel, and what every request passes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, Version};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::bodies::{Charged, Guarded};
use super::caller::{Caller, address};
use super::refusal::Refusal;
use super::{
    Gateway, details, door, feed, page, security_token, session, soap, socket, transaction,
};
use crate::http::metrics::Channel;

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
