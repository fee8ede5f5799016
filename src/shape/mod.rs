//! shape

/// A request, ready for the wire.
pub struct Request {
    pub method: http::Method,
    pub url: url::Url,
    pub headers: http::HeaderMap,
    pub body: bytes::Bytes,
}
