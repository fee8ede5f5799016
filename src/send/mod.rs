//! The only speaker of HTTP to receivers: one request, one exchange, one outcome.
//!
//! ```text
//! Request ─▶ tokens (where the auth is OAuth2, by an exchange of its own)
//!              ▼
//!            egress (what the URL tells) ─▶ clients (one per merchant and TLS set-up)
//!                                               │ connector: look up, vet, dial, TLS
//!                                               ▼
//!         Outcome ◀─ answer (capped) or failure (classified) ◀─ http1
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
mod http1;
mod in_turn;
mod meter;
mod pinned;
mod proxy;
mod request;
mod resolver;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod tokens;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use tokio::time::timeout_at;
use url::Url;

pub use self::connector::Network;
pub use self::egress::{EgressPolicy, Refusal};
pub use self::proxy::{Proxy, basic_authorization};
pub use self::request::head_of;

use self::answer::Reading;
use self::clients::Clients;
use self::connector::Outside;
use self::digest::Digests;
use self::failure::Failure;
use self::http1::{Client, Message, Trace};
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
    /// A sender with no connections yet. `answer_cap` is in bytes: as much of an answer's body is
    /// read, and no more.
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
    /// The request goes out as it is; `Host`, `Content-Length` and, where the request has
    /// none, `Accept: */*` are added, which means the same as no `Accept` (RFC 9110, 12.5.1).
    /// A bearer token is added to the request here, because it is had by an exchange. Afterwards
    /// the request is what went out.
    /// `started_at` is the database's time and is only passed on.
    pub async fn send(
        &self,
        request: &mut Request,
        subscription: &Subscription,
        credential: Credential,
        started_at: DateTime<Utc>,
    ) -> Outcome {
        let began = Instant::now();
        let (wire, sent, again) = match self.bearer(subscription, credential, began).await {
            Err(wire) => (wire, None, false),
            Ok(bearer) => {
                if let Some(bearer) = &bearer {
                    request.headers.insert(AUTHORIZATION, bearer.clone());
                }
                let Exchanged {
                    answer,
                    sent,
                    again,
                } = self.exchange(request, subscription, began).await;
                if let (Ok(Answer { status: 401, .. }), Some(bearer)) = (&answer, &bearer) {
                    self.tokens.refused(subscription.id, credential, bearer);
                }
                let failed = |failure: Failure| failure.at(&host_and_port(&request.url));
                let wire = answer.map_or_else(failed, Wire::Answer);
                (wire, sent, again)
            }
        };
        Outcome {
            wire,
            started_at,
            duration: began.elapsed(),
            sent,
            again,
        }
    }

    /// Gets the header that OAuth2 asks for; the wait for it counts in the timeout. The token
    /// server is reached under the same egress policy and TLS settings as the receiver: it may
    /// demand the client certificate too (RFC 8705).
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

    /// Makes the exchange: the answer, and what is known of the exchange, also of one that failed.
    async fn exchange(
        &self,
        request: &mut Request,
        subscription: &Subscription,
        began: Instant,
    ) -> Exchanged {
        let mut trace = Trace::default();
        let (client, message) = match self.ready(request, subscription) {
            Ok(ready) => ready,
            Err(failure) => return Exchanged::failed(failure),
        };
        let terms = Terms {
            asked: &request.url,
            may_repeat: subscription.form.identity.id.is_some(),
            began,
            limit: subscription.timeout,
        };
        let answer = self.answer(&client, &message, terms, &mut trace).await;
        Exchanged {
            answer,
            sent: trace.peer.map(|peer| Digests::of(request).sent_to(peer)),
            again: trace.again,
        }
    }

    /// The client by which a request may go out, and its bytes.
    fn ready(
        &self,
        request: &mut Request,
        subscription: &Subscription,
    ) -> Result<(Client, Message), Failure> {
        self.outside.policy.admit(&request.url)?;
        let client = self.clients.client_for(subscription)?;
        Ok((client, request::on_the_wire(request)?))
    }

    /// Waits for the answer and reads it. The limit spans everything, from name look-up to the last
    /// byte. What breaks behind a head is no failure: the status is there, and may be all that is
    /// asked for.
    async fn answer(
        &self,
        client: &Client,
        message: &Message,
        terms: Terms<'_>,
        trace: &mut Trace,
    ) -> Result<Answer, Failure> {
        let limit = terms.limit;
        let deadline = (terms.began + limit).into();
        let asked = timeout_at(deadline, client.ask(message, terms.may_repeat, trace));
        let (head, connection) = asked
            .await
            .map_err(|_| Failure::timeout("no answer", limit))??;

        let mut reading = Reading::of(head, connection, self.answer_cap);
        let incomplete = match timeout_at(deadline, reading.read_on()).await {
            Ok(Ok(())) => None,
            Ok(Err(broken)) => Some(Failure::from(broken)),
            Err(_) => Some(Failure::timeout("the answer was not complete", limit)),
        };
        let answer = reading.answer(terms.asked, incomplete.map(|failure| failure.cause));
        if reading.head.status.is_success() {
            // It may have answered at the first byte, and want the rest all the same.
            let _ = timeout_at(deadline, reading.connection.finish_sending()).await;
        }
        reading.give_back(client, message);
        Ok(answer)
    }
}

/// The terms under which an exchange is made.
#[derive(Clone, Copy)]
struct Terms<'a> {
    asked: &'a Url,
    may_repeat: bool,
    began: Instant,
    limit: Duration,
}

/// What came of an exchange.
struct Exchanged {
    answer: Result<Answer, Failure>,
    sent: Option<Sent>,
    again: bool,
}

impl Exchanged {
    /// An exchange that failed before anything was sent.
    const fn failed(failure: Failure) -> Self {
        Self {
            answer: Err(failure),
            sent: None,
            again: false,
        }
    }
}

/// Gives of a URL what an operator may see: its path and query can hold secrets.
fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or("(no host)");
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
