//! Asking the gateway over HTTP.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::support::Database;
pub use crate::support::http::{ask, http};

/// The body of an answer that is to be JSON and 200.
pub async fn json(request: RequestBuilder) -> Value {
    let (status, body) = ask(request).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

impl Database {
    /// A new API token of a merchant.
    pub async fn token(&self, merchant: &str) -> String {
        self.value(&format!(
            "SELECT posthorn.issue_token('{merchant}', uuid_send(gen_random_uuid())::text)"
        ))
        .await
    }

    /// A new session token for a transaction; `more` are further arguments in SQL.
    pub async fn session(&self, merchant: &str, transaction: &str, more: &str) -> String {
        self.value(&format!(
            "SELECT posthorn.issue_session('{merchant}', '{transaction}'{more})"
        ))
        .await
    }
}

/// A stream of Server-Sent Events, as it comes.
pub struct Stream {
    response: Response,
    rest: String,
}

/// A message of a stream; without data it is a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub data: String,
}

impl Stream {
    pub async fn open(request: RequestBuilder) -> Self {
        let response = request
            .header("Accept", "text/event-stream")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self::of(response)
    }

    pub fn of(response: Response) -> Self {
        Self {
            response,
            rest: String::new(),
        }
    }

    /// None when the stream has ended.
    pub async fn message(&mut self) -> Option<Message> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = block.lines();
                    let values =
                        lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    values.collect::<Vec<_>>().join("\n")
                };
                let message = Message {
                    id: field("id"),
                    data: field("data"),
                };
                let rest = rest.to_owned();
                self.rest = rest;
                return Some(message);
            }
            let chunk = self.response.chunk().await.ok()??;
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next message with data.
    pub async fn event(&mut self) -> Option<(String, Value)> {
        loop {
            let Message { id, data } = self.message().await?;
            if !data.is_empty() {
                return Some((id, serde_json::from_str(&data).unwrap()));
            }
        }
    }
}
