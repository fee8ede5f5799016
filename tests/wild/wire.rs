//! What travels, and what the gateway says: money, headers, charsets, dialects of forms, changes,
//! transactions' own addresses, receipts, and clients that are to come back.

mod actions;
mod bounds;
mod changes;
mod charsets;
mod files;
mod gateway;
mod headers;
mod money;
mod sockets;

use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, Worker, receiver};

/// What one event becomes for subscriptions of these settings: the request's path with its query
/// and its body, or why it cannot be sent.
async fn sent(data: &str, settings: Vec<Value>) -> Vec<Result<Sent, String>> {
    let database = Database::new().await;
    let receiver = receiver().await;
    let count = settings.len();
    for (number, mut settings) in settings.into_iter().enumerate() {
        settings["url"] = receiver.url(&format!("/{number}")).into();
        database
            .subscribe("acme", &format!("hook {number:03}"), settings)
            .await;
    }
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "T-1", "approved", data).await;
    crate::support::until(PATIENCE, "all have ended", async || {
        let deliveries = database.deliveries(event).await;
        let ended = |state: &str| matches!(state, "delivered" | "posting_error");
        let all = deliveries.len() == count && deliveries.iter().all(|it| ended(&it.state));
        all.then_some(())
    })
    .await;
    let requests = receiver.requests();
    let deliveries = database.deliveries(event).await;
    let told = deliveries
        .into_iter()
        .enumerate()
        .map(|(number, delivery)| {
            let path = format!("/{number}");
            let request = requests.iter().find(|request| {
                let (found, _) = request
                    .path_and_query
                    .split_once('?')
                    .unwrap_or((&request.path_and_query, ""));
                found == path
            });
            match request {
                Some(request) => Ok(Sent {
                    query: request
                        .path_and_query
                        .split_once('?')
                        .map(|it| it.1.to_owned())
                        .unwrap_or_default(),
                    content_type: request
                        .headers
                        .get("content-type")
                        .map(|it| it.to_str().unwrap().to_owned())
                        .unwrap_or_default(),
                    body: request.body.to_vec(),
                }),
                None => Err(delivery.reason.unwrap_or_default()),
            }
        });
    told.collect()
}

struct Sent {
    query: String,
    content_type: String,
    body: Vec<u8>,
}

impl Sent {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A field map of one field.
fn field(name: &str, source: &str, format: &str) -> Value {
    json!([{"name": name, "source": source, "format": format}])
}
