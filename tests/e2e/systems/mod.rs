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

/// The profiles in SQL, as people can write them too.
async fn with_profiles() -> Database {
    let database = Database::new().await;
    database
        .execute(
            r#"INSERT INTO posthorn.profiles
                   (name, scope, method, encoding, fields, emit, kinds, success_statuses, signing,
                    retry, retry_interval, max_attempts, retry_after, timeout, labels)
               VALUES
               ('instamed', NULL, 'POST', 'nvp', NULL, NULL, '{}', '{200}', NULL,
                'fixed', '30min', 5, false, '20s', '{"pending_retry": "pending posting retry", "posting_error": "posting error"}'),
               ('idpay', NULL, 'POST', 'json',
                '[{"name": "id", "source": "transaction_id"}, {"name": "status", "source": "status"}]',
                NULL, NULL, '{200-299}', NULL, 'exponential', NULL, NULL, NULL, NULL, NULL),
               ('alphatrust', 'transaction', 'POST', 'nvp',
                '[{"name": "TransID", "source": "transaction_id"},
                  {"name": "TXStatus", "source": "status", "format": "number", "map": {"Pending": 2, "Complete": 4, "Cancelled": 8}},
                  {"name": "EventType", "source": "literal:transaction"},
                  {"name": "ps_securitytoken", "source": "security_token"}]',
                'change', NULL, '{200-299}', NULL, NULL, NULL, NULL, NULL, '10s', NULL),
               ('sensepass', NULL, 'POST', 'json', NULL, NULL, NULL, NULL, 'sensepass_hmac',
                'exponential', '30s', NULL, NULL, NULL, NULL),
               ('sensepass-get', NULL, 'GET', 'query',
                '[{"name": "TransactionNumber", "source": "transaction_id"},
                  {"name": "callbackType", "source": "literal:transaction_status"}]',
                NULL, NULL, NULL, 'sensepass_hmac', 'exponential', '30s', NULL, NULL, NULL, NULL)
               ON CONFLICT DO NOTHING"#,
        )
        .await;
    database
}

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
    sqlx::query_as(
        "SELECT a.outcome::text, a.reason
           FROM posthorn.attempts a JOIN posthorn.delivery_status d USING (event_id, subscription_id, generation)
          WHERE a.event_id = $1 AND d.subscription = $2 ORDER BY a.number",
    )
    .bind(event)
    .bind(subscription)
    .fetch_all(&database.pool)
    .await
    .unwrap()
}
