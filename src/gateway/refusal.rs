//! Why a client does not get what it asked for. Each channel says it in its own form; here is
//! the form of those that speak JSON.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::desk::Away;

/// Nothing here tells an unknown thing from one that belongs to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No token, or none that is known.
    Unauthorized,
    /// Nothing of this name that this token may see.
    NotFound,
    TooMany,
    TooLarge,
    /// The body did not come in time.
    Slow,
    Method,
    /// What is wrong, and what to send instead.
    Malformed(&'static str),
    Away,
    /// The gateway has as many connections, sessions or bytes as it may.
    Busy,
}

impl Refusal {
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Away | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The refusal in one word, for programs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::TooMany => "too_many",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::Method => "method",
            Self::Malformed(_) => "malformed",
            Self::Away => "away",
            Self::Busy => "busy",
        }
    }

    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "no token that opens this; send one as \"Authorization: Bearer …\""
            }
            Self::NotFound => "nothing here that this token may see",
            Self::TooMany => {
                "too many requests; wait a second, and use wait= instead of asking often"
            }
            Self::TooLarge => "the request is too large",
            Self::Slow => "the request did not come in time",
            Self::Method => "this address takes another method",
            Self::Malformed(message) => message,
            Self::Away => "the database does not answer; try again in a moment",
            Self::Busy => "there are too many clients, or too slow ones; try again in a moment",
        }
    }

    /// What an answer means that something else made without the form.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::UNAUTHORIZED => Some(Self::Unauthorized),
            StatusCode::NOT_FOUND => Some(Self::NotFound),
            StatusCode::METHOD_NOT_ALLOWED => Some(Self::Method),
            StatusCode::REQUEST_TIMEOUT => Some(Self::Slow),
            StatusCode::PAYLOAD_TOO_LARGE => Some(Self::TooLarge),
            StatusCode::TOO_MANY_REQUESTS => Some(Self::TooMany),
            _ if status.is_client_error() => Some(Self::Malformed(
                "the path or the query is not in the form that this address takes",
            )),
            _ if status.is_server_error() => Some(Self::Busy),
            _ => None,
        }
    }

    /// The whole answer as it goes over the wire, for a connection that ends with it.
    #[must_use]
    pub fn raw(self, status: &str) -> String {
        let body = self.json().to_string();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             cache-control: no-store\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn json(self) -> serde_json::Value {
        json!({ "error": { "code": self.code(), "message": self.message() } })
    }

    /// The status, the headers that go with it, and a body of the channel's own.
    pub fn with_body(self, body: impl IntoResponse) -> Response {
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        match self {
            Self::TooMany | Self::Away | Self::Busy => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.with_body(Json(self.json()))
    }
}

impl From<Away> for Refusal {
    fn from(_: Away) -> Self {
        Self::Away
    }
}
