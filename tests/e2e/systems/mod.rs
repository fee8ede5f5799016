//! Each source system from end to end: what it publishes, a receiver that behaves as the
//! system's page says, and what becomes of it.

mod alphatrust;
mod idpay;
mod instamed;
mod sensepass;

use std::sync::Arc;

use posthorn::receiver::{Received, Receiver};
use uuid::Uuid;

use crate::support::Database;

/// What arrived at a path, in order.
fn arrived(receiver: &Receiver, path: &str) -> Vec<Arc<Received>> {
    let mut requests = receiver.requests();
    requests.retain(|request| {
        let (found, _) = request
            .path_and_query
            .split_once('?')
            .unwrap_or((&request.path_and_query, ""));
        found == path
    });
    requests
}

fn header<'a>(request: &'a Received, name: &str) -> &'a str {
    request
        .headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Outcome and reason of each attempt for an event, in order.
async fn attempts(database: &Database, event: Uuid, subscription: &str) -> Vec<(String, String)> {
    let attempts = database.attempts(event, subscription).await.into_iter();
    attempts.map(|it| (it.outcome, it.reason)).collect()
}
