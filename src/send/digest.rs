//! The digests of a request, by which it can be recognised later.
//!
//! What is digested of the head is text that can be made of a recorded request:
//!
//! ```text
//! POST https://shop.example/hook?x=1\n
//! accept: */*\n
//! accept-encoding: identity\n
//! content-type: application/json\n
//! user-agent: Posthorn/0.1.0\n
//! webhook-id: 0198c5f0-…\n
//! ```
//!
//! The method and the URL as it was configured, then the headers by name, in lower case, but
//! for `host` and `content-length`, which follow from URL and body, and for credentials: who
//! knew the rest of the text could guess at a password by its digest.

use http::HeaderName;
use ring::digest::{SHA256, digest};

use crate::model::{Peer, Sent};
use crate::shape::Request;

/// The room for the text of a head at once, beside its URL: most are smaller.
const ROOM: usize = 768;

#[derive(Clone, Copy, Debug)]
pub(super) struct Digests {
    head: [u8; 32],
    payload: [u8; 32],
}

impl Digests {
    pub(super) fn of(request: &Request) -> Self {
        let url = request.url.as_str();
        let mut head = Vec::with_capacity(url.len() + ROOM);
        for part in [request.method.as_str(), " ", url, "\n"] {
            head.extend_from_slice(part.as_bytes());
        }
        let mut names: Vec<&HeaderName> = request.headers.keys().collect();
        names.sort_unstable_by_key(|name| name.as_str());
        for name in names {
            let values = request.headers.get_all(name).into_iter();
            for value in values.filter(|value| !value.is_sensitive()) {
                for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"] {
                    head.extend_from_slice(part);
                }
            }
        }
        Self {
            head: sized(digest(&SHA256, &head).as_ref()),
            payload: sized(digest(&SHA256, &request.body).as_ref()),
        }
    }

    pub(super) fn sent_to(self, peer: Peer) -> Sent {
        Sent {
            head_digest: self.head,
            payload_digest: self.payload,
            peer,
        }
    }
}

fn sized(digest: &[u8]) -> [u8; 32] {
    let mut sized = [0; 32];
    sized.copy_from_slice(digest);
    sized
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::header::{AUTHORIZATION, CONTENT_TYPE};
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;
    use crate::model::Spelling;
    use crate::model::seal::Digest;

    fn request(credential: &'static str) -> Request {
        let mut secret = HeaderValue::from_static(credential);
        secret.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("42"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, secret);
        Request {
            method: Method::POST,
            url: "https://shop.example:8443/hook?x=1".parse().unwrap(),
            headers,
            spelling: Spelling::default(),
            body: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn an_outsider_can_make_them_of_what_was_recorded() {
        let digests = Digests::of(&request("Basic dXNlcjpwYXNz"));
        // As by `sha256sum`.
        let text = "POST https://shop.example:8443/hook?x=1\n\
                    content-type: application/json\nwebhook-id: 42\n";
        let head = digest(&SHA256, text.as_bytes());
        assert_eq!(digests.head, head.as_ref());
        assert_eq!(
            Digest::of(&digests.payload).0,
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }

    #[test]
    fn a_credential_leaves_no_trace() {
        let one = Digests::of(&request("a"));
        let other = Digests::of(&request("b"));
        assert_eq!(one.head, other.head);
    }
}
