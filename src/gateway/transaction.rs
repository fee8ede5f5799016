//! The status query (WIRE.md 4.7): where a transaction stands, and how it came there.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use chrono::SecondsFormat;
use serde::Serialize;

use super::Gateway;
use super::bearer::bearer;
use super::refusal::Refusal;
use crate::model::Event;

#[derive(Serialize)]
pub struct Transaction {
    id: Box<str>,
    /// The status in the provider's spelling.
    status: Box<str>,
    /// Oldest first.
    history: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    event: String,
    kind: Box<str>,
    status: Box<str>,
    created_at: String,
}

/// `GET /v1/transactions/{id}`, and under the path that `IDPay` has, with a merchant's API
/// token.
pub async fn answer(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Transaction>, Refusal> {
    let merchant = gateway.merchant(bearer(&headers)).await?;
    let id = transaction_id(&id).ok_or(Refusal::NotFound)?;
    let asked = (merchant.token.merchant.clone(), id);
    let page = gateway.transactions.ask(asked).await?;
    let mut events: Vec<Event> = page.events.into_iter().map(|(_, event)| event).collect();
    events.sort_by_key(|event| event.id);
    let latest = events.last().ok_or(Refusal::NotFound)?;
    Ok(Json(Transaction {
        id: latest.transaction_id.clone(),
        status: latest.status.clone(),
        history: events.into_iter().map(Change::from).collect(),
    }))
}

impl From<Event> for Change {
    fn from(event: Event) -> Self {
        Self {
            event: event.id.to_string(),
            kind: event.kind,
            status: event.status,
            created_at: event
                .created_at
                .to_rfc3339_opts(SecondsFormat::Micros, true),
        }
    }
}

/// Takes a text that can be a transaction's id; none for one that can be no transaction's: one
/// question that the database refuses would cost the others of its statement their answers.
pub fn transaction_id(text: &str) -> Option<Box<str>> {
    let can_be = (1..=1_000).contains(&text.len()) && !text.contains('\0');
    can_be.then(|| text.into())
}
