//! The look-up of a security token (WIRE.md 5.7): whoever got a notification learns that it is
//! authentic, and what stands behind it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use uuid::Uuid;

use super::Gateway;
use super::feed;
use super::receive::read_body;
use super::refusal::Refusal;
use super::transaction::transaction_id;
use crate::flow::STATEMENT;
use crate::model::Event;
use crate::store::security_tokens::find_told;
use crate::store::{StoreError, within};

/// How many of a transaction's newest events are looked at: a notification of an older one is long
/// past.
const NEWEST: i64 = 50;

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(rename = "TransID")]
    transaction: String,
    ps_securitytoken: String,
}

#[derive(Serialize)]
struct Authentic<'a> {
    #[serde(rename = "TransID")]
    transaction: &'a str,
    /// What the notification told of.
    status: &'a str,
    kind: &'a str,
    event: String,
    created_at: String,
    data: &'a RawValue,
    /// The status that the transaction has now.
    current_status: &'a str,
}

/// `POST /v1/security-token` with `TransID` and `ps_securitytoken`, both as they came, as a
/// form or as JSON. The token is all that it takes.
pub async fn answer(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let asked = read(&headers, body).await?;
    let transaction = transaction_id(&asked.transaction).ok_or(Refusal::NotFound)?;
    let token: Uuid = asked
        .ps_securitytoken
        .parse()
        .map_err(|_| Refusal::NotFound)?;
    gateway.metrics.gateway().query();
    let told = within(STATEMENT, find_told(&gateway.pool, &transaction, NEWEST))
        .await
        .map_err(|error| away(&gateway, &error))?;

    // All of them are compared, whichever fits, so that the time tells nothing.
    let now = gateway.clock.now();
    let lifetime = TimeDelta::from_std(gateway.settings.security_token_lifetime);
    let lifetime = lifetime.unwrap_or(TimeDelta::MAX);
    let mut found = u64::MAX;
    for (at, told) in (0_u64..).zip(&told) {
        let expected = gateway.token_key.token(told.event_id, told.subscription_id);
        let fits = expected.as_bytes().ct_eq(token.as_bytes());
        let is_fresh = Choice::from(u8::from(now - told.last_at <= lifetime));
        found.conditional_assign(&at, fits & is_fresh);
    }
    let found = usize::try_from(found).ok().and_then(|at| told.get(at));
    let told = found.ok_or(Refusal::NotFound)?;

    let asked = (told.merchant.clone(), transaction);
    let page = gateway.transactions.ask(asked).await?;
    let events = page.events.iter().map(|(_, event)| event);
    let told_of = events.clone().find(|event| event.id == told.event_id);
    let current = events.max_by_key(|event| event.id);
    let (event, current) = told_of.zip(current).ok_or(Refusal::NotFound)?;
    Ok(authentic(event, current)?.into_response())
}

fn authentic<'a>(event: &'a Event, current: &'a Event) -> Result<Json<Authentic<'a>>, Refusal> {
    Ok(Json(Authentic {
        transaction: &event.transaction_id,
        status: &event.status,
        kind: &event.kind,
        event: event.id.to_string(),
        created_at: event
            .created_at
            .to_rfc3339_opts(SecondsFormat::Micros, true),
        data: feed::data(event).map_err(|_| Refusal::NotFound)?,
        current_status: &current.status,
    }))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Asked, Refusal> {
    const REMEDY: Refusal =
        Refusal::Malformed("give TransID and ps_securitytoken as they came, as a form or as JSON");
    let body = read_body(body).await?;
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if content_type.is_some_and(|text| text.starts_with(b"application/json")) {
        return serde_json::from_slice(&body).map_err(|_| REMEDY);
    }
    let mut transaction = None;
    let mut token = None;
    for (name, value) in form_urlencoded::parse(&body) {
        match &*name {
            "TransID" => transaction = Some(value.into_owned()),
            "ps_securitytoken" => token = Some(value.into_owned()),
            _ => {}
        }
    }
    let asked = transaction.zip(token);
    let (transaction, ps_securitytoken) = asked.ok_or(REMEDY)?;
    Ok(Asked {
        transaction,
        ps_securitytoken,
    })
}

fn away(gateway: &Gateway, error: &StoreError) -> Refusal {
    gateway.metrics.database_error();
    tracing::warn!(%error, "cannot look a security token up");
    Refusal::Away
}
