//! How receivers answer and how they treat connections.

mod bodies;
mod early;
mod heads;
mod kept;
mod raw;
mod requests;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::Database;

/// What the record of an event's only attempt says.
#[derive(Debug, sqlx::FromRow)]
struct Attempted {
    outcome: String,
    http_status: Option<i16>,
    reason: String,
}

/// By the subscription's name.
async fn attempts(database: &Database, event: Uuid, subscription: &str) -> Vec<Attempted> {
    sqlx::query_as(AssertSqlSafe(
        "SELECT a.outcome::text, a.http_status, a.reason
           FROM posthorn.attempts a JOIN posthorn.subscriptions s ON s.id = a.subscription_id
          WHERE a.event_id = $1 AND s.name = $2 ORDER BY a.number",
    ))
    .bind(event)
    .bind(subscription)
    .fetch_all(&database.pool)
    .await
    .unwrap()
}

/// One try in the time of a test, with further settings.
fn once(url: &str, more: Value) -> Value {
    let mut settings = json!({"url": url, "retry": "fixed", "retry_interval": "1h"});
    let more = more.as_object().unwrap().clone();
    settings.as_object_mut().unwrap().extend(more);
    settings
}
