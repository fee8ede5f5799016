//! A shaped request as the HTTP client takes it.

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use http_body_util::Full;
use url::Url;

use super::failure::Failure;
use crate::model::FailureClass;
use crate::model::settings::OF_THE_CONNECTION;
use crate::shape::Request;

/// Moves every part: nothing of a request is copied but its URL, which is returned too.
///
/// The settings' checks keep such headers out already; this is what holds if one of them
/// has a gap.
pub(super) fn on_the_wire(request: Request) -> Result<(http::Request<Full<Bytes>>, Url), Failure> {
    if let Some(name) = OF_THE_CONNECTION
        .iter()
        .find(|name| request.headers.contains_key(**name))
    {
        return Err(Failure::new(
            FailureClass::Refused,
            format!("the request brings a header `{name}`, which is the connection's"),
        ));
    }
    let mut wire = http::Request::new(Full::new(request.body));
    *wire.uri_mut() = request
        .url
        .as_str()
        .parse()
        .map_err(|_| Failure::new(FailureClass::Protocol, "the URL cannot be sent"))?;
    *wire.method_mut() = request.method;
    *wire.headers_mut() = request.headers;
    // Means the same as none (RFC 9110, section 12.5.1), but some firewalls want one.
    wire.headers_mut()
        .entry(ACCEPT)
        .or_insert(HeaderValue::from_static("*/*"));
    Ok((wire, request.url))
}
