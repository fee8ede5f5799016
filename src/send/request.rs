//! A shaped request as it goes out.

use std::borrow::Cow;

use http::header::{ACCEPT, HeaderValue};

use super::failure::Failure;
use super::http1::Message;
use crate::model::FailureClass;
use crate::model::settings::OF_THE_CONNECTION;
use crate::shape::Request;

/// Adds to the request what this room does, and gives its bytes.
///
/// The settings' checks keep headers of the connection out already; this is what holds if one of
/// them has a gap.
pub(super) fn on_the_wire(request: &mut Request) -> Result<Message, Failure> {
    if let Some(name) = OF_THE_CONNECTION
        .iter()
        .find(|name| request.headers.contains_key(**name))
    {
        return Err(Failure::new(
            FailureClass::Refused,
            format!("the request brings a header `{name}`, which is the connection's"),
        ));
    }
    complete(request);
    Message::of(request)
        .ok_or_else(|| Failure::new(FailureClass::Protocol, "the URL cannot be sent"))
}

/// Writes the request line and the headers, byte for byte, but for the values that `shown`
/// replaces.
#[must_use]
pub fn head_of(mut request: Request, shown: impl Fn(&HeaderValue) -> Cow<'_, [u8]>) -> Vec<u8> {
    complete(&mut request);
    super::http1::head(&request, shown)
}

fn complete(request: &mut Request) {
    // A fragment is for whoever clicks on a URL.
    request.url.set_fragment(None);
    // Means the same as none (RFC 9110, section 12.5.1), but some firewalls want one.
    request
        .headers
        .entry(ACCEPT)
        .or_insert(HeaderValue::from_static("*/*"));
}
