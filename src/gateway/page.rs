//! For browsers: a script that listens to a session, and a page to embed that does so and
//! tells the page around it (WIRE.md 3.1: a `message` event of the window).

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Gateway;
use super::refusal::Refusal;

const SCRIPT: &str = include_str!("page/listen.js");

/// The page, which has the origin of the page around it in the place of `{origin}`.
const PAGE: &str = include_str!("page/listen.html");

/// `GET /v1/listen.js`.
pub async fn script() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=300"),
    ];
    (headers, SCRIPT).into_response()
}

#[derive(Debug, Deserialize)]
pub struct Asked {
    origin: Option<String>,
}

/// `GET /v1/listen?origin=…#token=…`: the token stands behind the `#`, which browsers keep to
/// themselves. Only a page of an allowed origin may embed it, and only that one is told.
pub async fn page(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let allowed = gateway.settings.allowed_origins.iter();
    let origin = asked
        .origin
        .and_then(|origin| allowed.into_iter().find(|allowed| **allowed == origin))
        .ok_or(Refusal::Malformed(
            "origin is missing or not one of [gateway] allowed_origins; give that of the page around this one",
        ))?;
    let policy = format!(
        "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors {origin}"
    );
    let policy = HeaderValue::try_from(policy).map_err(|_| Refusal::NotFound)?;
    let mut response = (
        [(CONTENT_TYPE, "text/html; charset=utf-8")],
        PAGE.replace("{origin}", origin),
    )
        .into_response();
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}
