//! Sessions: issuing their tokens, and telling how far they are (WIRE.md 2.1 and 2.3).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::Gateway;
use super::access::Session;
use super::bearer::bearer;
use super::cursor::Cursor;
use super::desk::Away;
use super::follow::{Follow, Start};
use super::position::Position;
use super::receive::read_body;
use super::refusal::Refusal;
use crate::flow::STATEMENT;
use crate::model::Event;
use crate::store::tokens::{NewSession, Subject, issue_session};
use crate::store::within;

/// What [`NewSession`] has without a lifetime of its own; the database's functions say the
/// same.
const LIFETIME: Duration = Duration::from_mins(15);
const DEVICE_LIFETIME: Duration = Duration::from_hours(24);

/// The table holds no longer ones.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// How far a session is. The page's client waits while it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    New,
    /// The transaction has reached a status that completes the session.
    Complete,
    /// The session ended before that.
    Expired,
}

impl Session {
    /// The state in the spelling that the session was issued with.
    pub fn spell(&self, state: SessionState) -> &str {
        match state {
            SessionState::New => "NEW",
            SessionState::Complete => &self.row.complete_as,
            SessionState::Expired => SPELLED_EXPIRED,
        }
    }

    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        now >= self.row.expires_at
    }

    /// What is left of it.
    pub fn left(&self, now: DateTime<Utc>) -> Duration {
        (self.row.expires_at - now).to_std().unwrap_or_default()
    }

    /// Whether the event brings the transaction to a status that completes the session.
    pub fn completes(&self, event: &Event) -> bool {
        event.created_at < self.row.expires_at
            && self.complete_on.as_ref().is_none_or(|patterns| {
                let mut patterns = patterns.iter();
                patterns.any(|pattern| pattern.matches(&event.status))
            })
    }
}

/// A token that is not known is told the same: what ended long ago is kept no longer.
pub const SPELLED_EXPIRED: &str = "EXPIRED";

/// How long after a session's end its state is looked at. The database's clock is carried
/// forward here and set anew each moment, and may be set back by some of a round trip.
const BEHIND: Duration = Duration::from_millis(50);

impl Gateway {
    /// The session's state, as soon as it is not new any more or the wait is over.
    pub async fn state_of(
        self: &Arc<Self>,
        session: &Session,
        wait: Duration,
    ) -> Result<SessionState, Away> {
        let Subject::Transaction(transaction) = &session.row.subject else {
            return Ok(self.without_completion(session));
        };
        let until = Instant::now() + wait;
        loop {
            let progress = session.progress().clone();
            if progress.is_complete {
                return Ok(SessionState::Complete);
            }
            let Some(read) = progress.read else {
                self.read_from_start(session, transaction).await?;
                continue;
            };
            let mut follow = Follow::begin(self, session.topic(), Start::At(read))?;
            let left = session.left(self.clock.now()) + BEHIND;
            let wait = until.saturating_duration_since(Instant::now()).min(left);
            let entries = follow.next(wait).await?.entries;
            {
                let mut progress = session.progress();
                let mut events = entries.iter().map(|entry| &entry.event.event);
                progress.is_complete |= events.any(|event| session.completes(event));
                progress.read = Some(follow.cursor());
            }
            if entries.is_empty() {
                return Ok(self.without_completion(session));
            }
        }
    }

    async fn read_from_start(&self, session: &Session, transaction: &str) -> Result<(), Away> {
        let (cluster, taken_ms) = self.hub.moment().ok_or(Away)?;
        let asked = (session.row.merchant.clone(), transaction.into());
        let page = self.transactions.ask(asked).await?;
        let mut events = page.events.iter().map(|(_, event)| event);
        let mut progress = session.progress();
        progress.is_complete = events.any(|event| session.completes(event));
        progress.read = Some(Cursor {
            cluster,
            taken_ms,
            floor: Uuid::nil(),
            position: Position::at(page.until),
        });
        Ok(())
    }

    fn without_completion(&self, session: &Session) -> SessionState {
        if session.is_over(self.clock.now()) {
            SessionState::Expired
        } else {
            SessionState::New
        }
    }

    /// A wait that a client asks for, in seconds or such as `30s`.
    pub fn wait(&self, text: Option<&str>) -> Result<Duration, Refusal> {
        let Some(text) = text else {
            return Ok(Duration::ZERO);
        };
        let seconds = text.parse().map(Duration::from_secs);
        let wait = seconds.or_else(|_| humantime::parse_duration(text));
        let wait = wait.map_err(|_| {
            Refusal::Malformed("wait is not a duration; give seconds or such as 30s")
        })?;
        Ok(wait.min(self.settings.max_wait))
    }
}

#[derive(Debug, Deserialize)]
pub struct Asked {
    wait: Option<String>,
    /// The session's token, where no header can be set.
    token: Option<String>,
}

/// `GET /v1/session`: `{"state", "expires_at"}`.
pub async fn answer(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let wait = gateway.wait(asked.wait.as_deref())?;
    let token = bearer(&headers).or(asked.token.as_deref());
    if token.is_none() {
        return Err(Refusal::Unauthorized);
    }
    let session = match gateway.session(token).await {
        Ok(session) => session,
        Err(Refusal::Unauthorized) => {
            return Ok(Json(json!({ "state": SPELLED_EXPIRED })).into_response());
        }
        Err(refusal) => return Err(refusal),
    };
    let state = if wait.is_zero() {
        gateway.state_of(&session, wait).await?
    } else {
        let _open = gateway.limits.open(&session.row.hash)?;
        let _waits = gateway.metrics.gateway().waits();
        gateway.state_of(&session, wait).await?
    };
    let expires_at = session.row.expires_at;
    Ok(Json(json!({
        "state": session.spell(state),
        "expires_at": expires_at.to_rfc3339_opts(SecondsFormat::Millis, true),
    }))
    .into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    transaction: Option<Box<str>>,
    device: Option<Box<str>>,
    lifetime: Option<String>,
    complete_on: Option<Vec<String>>,
    complete_as: Option<String>,
}

/// `POST /v1/sessions` with a merchant's API token: `{"token", "expires_in"}`, the latter in
/// seconds.
pub async fn issue(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let merchant = gateway.merchant(bearer(&headers)).await?;
    let body = read_body(body).await?;
    let wanted: Wanted = serde_json::from_slice(&body).map_err(|_| {
        Refusal::Malformed(
            "not the JSON object of a session; give {\"transaction\" or \"device\", \"lifetime\"?, \"complete_on\"?, \"complete_as\"?}",
        )
    })?;
    let (new, lifetime) = wanted.check(merchant.token.merchant.clone())?;
    gateway.metrics.gateway().query();
    let token = within(STATEMENT, issue_session(&gateway.pool, &new))
        .await
        .map_err(|error| {
            gateway.metrics.database_error();
            tracing::warn!(%error, "cannot issue a session");
            Refusal::Away
        })?;
    let issued = json!({ "token": token.expose_secret(), "expires_in": lifetime.as_secs() });
    Ok((StatusCode::CREATED, Json(issued)).into_response())
}

impl Wanted {
    fn check(self, merchant: Box<str>) -> Result<(NewSession, Duration), Refusal> {
        let (subject, default) = match (self.transaction, self.device) {
            (Some(transaction), None) => (Subject::Transaction(transaction), LIFETIME),
            (None, Some(device)) => (Subject::Device(device), DEVICE_LIFETIME),
            _ => return Err(Refusal::Malformed("give either a transaction or a device")),
        };
        let (Subject::Transaction(name) | Subject::Device(name)) = &subject;
        if name.is_empty() || name.len() > 1_000 || name.contains('\0') {
            return Err(Refusal::Malformed(
                "the transaction or device is empty or longer than 1000 bytes",
            ));
        }
        let lifetime = match &self.lifetime {
            None => default,
            Some(text) => humantime::parse_duration(text)
                .ok()
                .filter(|lifetime| (Duration::from_secs(1)..=LONGEST).contains(lifetime))
                .ok_or(Refusal::Malformed(
                    "lifetime is not a duration from 1s to 366days; give one such as \"15m\"",
                ))?,
        };
        let is_word = |text: &String| {
            (1..=40).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
        };
        if !self.complete_as.as_ref().is_none_or(is_word) {
            return Err(Refusal::Malformed(
                "complete_as is not a word of up to 40 letters; give one such as \"complete\"",
            ));
        }
        let patterns = self.complete_on.iter().flatten();
        if patterns.clone().count() > 100
            || patterns
                .into_iter()
                .any(|text| text.len() > 1_000 || text.contains('\0'))
        {
            return Err(Refusal::Malformed(
                "complete_on has more than 100 patterns, or one longer than 1000 bytes",
            ));
        }
        let new = NewSession {
            merchant,
            subject,
            lifetime: Some(lifetime),
            complete_on: self.complete_on,
            complete_as: self.complete_as,
        };
        Ok((new, lifetime))
    }
}
