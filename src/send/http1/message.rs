//! A request as it goes out.

use std::borrow::Cow;

use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{Method, Uri};
use url::{Position, Url};

use super::Origin;
use crate::shape::Request;

pub(in crate::send) struct Message {
    pub(super) origin: Origin,
    head: Bytes,
    body: Bytes,
}

impl Message {
    /// Makes the message of a request; none for a URL that HTTP/1.1 cannot carry.
    pub(in crate::send) fn of(request: &Request) -> Option<Self> {
        let uri: Uri = request.url.as_str().parse().ok()?;
        let parts = uri.into_parts();
        let scheme: Scheme = parts.scheme?;
        let authority: Authority = parts.authority?;
        Some(Self {
            origin: Origin(scheme, authority),
            head: head(request, |value| value.as_bytes().into()).into(),
            body: request.body.clone(),
        })
    }

    pub(super) fn bytes(&self) -> Chain<Bytes, Bytes> {
        self.head.clone().chain(self.body.clone())
    }
}

/// The room for a head at once, beside its target: most are smaller.
const ROOM: usize = 768;

/// The request line and the headers: the receiver's host first (RFC 9110, section 7.2), those
/// of the request, and the length of its body.
pub(in crate::send) fn head(
    request: &Request,
    shown: impl Fn(&HeaderValue) -> Cow<'_, [u8]>,
) -> Vec<u8> {
    let target = &request.url[Position::BeforePath..Position::AfterQuery];
    let mut head = Vec::with_capacity(target.len() + ROOM);
    for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    let mut line = |name: &HeaderName, value: &[u8]| {
        request.spelling.write(name, &mut head);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    line(&HOST, host(&request.url).as_bytes());
    for (name, value) in &request.headers {
        line(name, &shown(value));
    }
    if !request.body.is_empty() || request.method == Method::POST {
        line(&CONTENT_LENGTH, request.body.len().to_string().as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The host of a URL, without the port that its scheme has anyway.
fn host(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}
