//! The only caller of the HTTP client: one request, one exchange, one outcome.
//!
//! ```text
//! Request ─▶ tokens (where the auth is OAuth2, by an exchange of its own)
//!              ▼
//!            egress (what the URL tells) ─▶ clients (one per merchant and TLS set-up)
//!                                               │ connector: look up, vet, dial, TLS
//!                                               ▼
//!         Outcome ◀─ answer (capped) or failure (classified) ◀─ wire
//! ```
//!
//! Nothing here returns an error to the engine: each way in which an exchange can go
//! wrong is a [`FailureClass`](crate::model::FailureClass).

mod address;
mod answer;
mod clients;
mod connector;
mod dial;
mod digest;
mod egress;
mod failure;
mod in_turn;
mod meter;
mod pinned;
mod proxy;
mod request;
mod resolver;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderValue};
use http_body_util::Full;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::time::timeout_at;
use url::Url;

pub use self::address::NAT64_LENGTHS;
pub use self::connector::Network;
pub use self::egress::{EgressPolicy, Refusal};
pub use self::proxy::{Proxy, basic_authorization};

use self::clients::{Client, Clients};
use self::connector::Outside;
use self::digest::Digests;
use self::failure::Failure;
use self::meter::Ends;
use self::tokens::{Asking, Tokens};
use crate::model::{Answer, Auth, Credential, Outcome, Sent, Subscription, Wire};
use crate::shape::Request;

/// Sends requests. A clone shares the connections of its original.
#[derive(Clone)]
pub struct Sender {
    outside: Arc<Outside>,
    clients: Arc<Clients>,
    tokens: Arc<Tokens>,
    answer_cap: usize,
}

impl Sender {
    /// `answer_cap` is in bytes: as much of an answer's body is read, and no more.
    #[must_use]
    pub fn new(network: Network, answer_cap: usize) -> Self {
        Self::by(Outside::new(network), answer_cap)
    }

    fn by(outside: Outside, answer_cap: usize) -> Self {
        let outside = Arc::new(outside);
        Self {
            clients: Arc::new(Clients::new(Arc::clone(&outside))),
            tokens: Arc::default(),
            outside,
            answer_cap,
        }
    }

    /// Makes one exchange under the subscription's TLS settings and timeouts.
    ///
    /// The request goes out as it is; the client adds `host`, `content-length` and,
    /// where the request has none, `accept: */*`, which means the same as no `accept`
    /// (RFC 9110, 12.5.1). A bearer token is added to the request here, because it is had by
    /// an exchange.
    /// `started_at` is the database's time and is only passed on.
    pub async fn send(
        &self,
        request: &mut Request,
        subscription: &Subscription,
        credential: Credential,
        started_at: DateTime<Utc>,
    ) -> Outcome {
        let began = Instant::now();
        let (wire, sent) = match self.bearer(subscription, credential, began).await {
            Err(wire) => (wire, None),
            Ok(bearer) => {
                if let Some(bearer) = &bearer {
                    request.headers.insert(AUTHORIZATION, bearer.clone());
                }
                let target = host_and_port(&request.url);
                let (exchanged, sent) = self.exchange(request.clone(), subscription, began).await;
                if let (Ok(Answer { status: 401, .. }), Some(bearer)) = (&exchanged, &bearer) {
                    self.tokens.refused(subscription.id, credential, bearer);
                }
                let wire = exchanged.map_or_else(|failure| failure.at(&target), Wire::Answer);
                (wire, sent)
            }
        };
        Outcome {
            wire,
            started_at,
            duration: began.elapsed(),
            sent,
        }
    }

    /// The header that OAuth2 asks for; the wait for it counts in the timeout. The token
    /// server is reached under the same egress policy and TLS settings as the receiver: it
    /// may demand the client certificate too (RFC 8705).
    async fn bearer(
        &self,
        subscription: &Subscription,
        credential: Credential,
        began: Instant,
    ) -> Result<Option<HeaderValue>, Wire> {
        let Auth::OAuth2(client) = subscription.auth_by(credential) else {
            return Ok(None);
        };
        let limit = subscription.timeout;
        let token = async {
            self.outside.policy.admit(&client.token_url)?;
            let asking = Asking {
                client,
                http: self.clients.client_for(subscription)?,
                subscription,
                credential,
            };
            timeout_at((began + limit).into(), self.tokens.bearer(asking))
                .await
                .map_err(|_| Failure::timeout("no access token", limit))?
        };
        token.await.map(Some).map_err(|failure: Failure| {
            failure.at(&format!(
                "token server {}",
                host_and_port(&client.token_url)
            ))
        })
    }

    /// The answer, and what went out: that is known of a failed exchange too.
    async fn exchange(
        &self,
        request: Request,
        subscription: &Subscription,
        began: Instant,
    ) -> (Result<Answer, Failure>, Option<Sent>) {
        let body = request.body.clone();
        let (client, mut request, url) = match self.ready(request, subscription) {
            Ok(ready) => ready,
            Err(failure) => return (Err(failure), None),
        };
        let digests = Digests::of(&request, &body);
        let connection = capture_connection(&mut request);
        let limit = subscription.timeout;
        let answer = self.answer(&client, request, &url, (began, limit)).await;
        let sent = ends_of(&connection).map(|ends| digests.sent_to(ends.peer()));
        (answer, sent)
    }

    fn ready(&self, request: Request, subscription: &Subscription) -> Result<Ready, Failure> {
        self.outside.policy.admit(&request.url)?;
        let client = self.clients.client_for(subscription)?;
        let (request, url) = request::on_the_wire(request)?;
        Ok((client, request, url))
    }

    /// The limit spans both steps, from name look-up to the last byte.
    async fn answer(
        &self,
        client: &Client,
        request: http::Request<Full<Bytes>>,
        url: &Url,
        (began, limit): (Instant, Duration),
    ) -> Result<Answer, Failure> {
        let deadline = (began + limit).into();
        let response = timeout_at(deadline, client.request(request))
            .await
            .map_err(|_| Failure::timeout("no answer", limit))??;

        let answer = timeout_at(deadline, answer::read(response, url, self.answer_cap))
            .await
            .map_err(|_| Failure::timeout("the answer was not complete", limit))??;
        Ok(answer)
    }
}

/// A request for the client, and its URL.
type Ready = (Client, http::Request<Full<Bytes>>, Url);

/// Of the connection that the request had, if it came to one.
fn ends_of(connection: &CaptureConnection) -> Option<Ends> {
    let mut extras = Extensions::new();
    connection
        .connection_metadata()
        .as_ref()?
        .get_extras(&mut extras);
    extras.remove()
}

/// What an operator may see of a URL: its path and query can hold secrets.
fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or("(no host)");
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
