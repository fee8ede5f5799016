//! The feed: all of a merchant's events, or those of a session, in order and without gaps; as
//! JSON to poll, with or without waiting, and as Server-Sent Events.

use std::sync::Arc;
use std::time::Duration;
use std::vec;

use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;
use futures::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Gateway;
use super::access::Session;
use super::bearer::bearer;
use super::bodies::guarded;
use super::budget::Held;
use super::caller::Caller;
use super::cursor::Cursor;
use super::follow::{Batch, Follow, Start};
use super::hub::SeenEvent;
use super::limits::Open;
use super::position::STRETCH;
use super::refusal::Refusal;
use super::topic::{Of, Topic};
use crate::http::metrics::{Count, Sent};
use crate::model::Event;
use crate::store::tokens::TokenHash;

/// Events of an answer, unless the client asks for another number.
const LIMIT: usize = 100;

/// A stream with nothing to say says so, with the position by then: proxies close what is
/// silent, and a client that comes back later has less to catch up with.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// How soon a browser comes back.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
pub struct Asked {
    /// A cursor, `start` or `now`.
    after: Option<String>,
    wait: Option<String>,
    limit: Option<usize>,
    /// A session's, where no header can be set.
    token: Option<String>,
}

/// Who reads, and for how long that stands.
#[derive(Clone)]
pub enum Reader {
    Merchant(TokenHash),
    Session(Arc<Session>),
}

impl Reader {
    pub fn token(&self) -> &TokenHash {
        match self {
            Self::Merchant(hash) => hash,
            Self::Session(session) => &session.row.hash,
        }
    }

    /// How long it may wait before it is to be asked again whether it may.
    pub fn pause(&self, gateway: &Gateway) -> Duration {
        match self {
            Self::Merchant(_) => HEARTBEAT,
            Self::Session(session) => session.left(gateway.clock.now()).min(HEARTBEAT),
        }
    }

    /// Whether the reader's token still opens what it reads. Where the database is away, it does.
    pub async fn may_go_on(&self, gateway: &Gateway) -> bool {
        let now = gateway.clock.now();
        match self {
            Self::Merchant(hash) => {
                let found = gateway.access.api_token(hash, now).await;
                found.map_or(true, |found| found.is_some())
            }
            Self::Session(session) => !session.is_over(now),
        }
    }
}

/// `GET /v1/events` with a merchant's API token.
pub async fn of_merchant(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let merchant = gateway.merchant(bearer(&headers)).await?;
    let topic = Topic {
        merchant: merchant.token.merchant.clone(),
        of: Of::Everything,
    };
    let reader = Reader::Merchant(merchant.hash);
    answer(&gateway, &caller, reader, topic, &asked, &headers).await
}

/// `GET /v1/session/events`: those of the session's transaction or device.
pub async fn of_session(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = bearer(&headers).or(asked.token.as_deref());
    let session = gateway.session(token).await?;
    if session.is_over(gateway.clock.now()) {
        return Err(Refusal::Unauthorized);
    }
    let topic = session.topic();
    let reader = Reader::Session(session);
    answer(&gateway, &caller, reader, topic, &asked, &headers).await
}

async fn answer(
    gateway: &Arc<Gateway>,
    caller: &Caller,
    reader: Reader,
    topic: Topic,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let wants = |header: &str| headers.get(header).and_then(|value| value.to_str().ok());
    // EventSource comes back with what it saw last, at the address that it was given first.
    let after = wants("last-event-id").filter(|id| !id.is_empty());
    let start = start(gateway, after.or(asked.after.as_deref()))?;
    let account = caller.account.with_token(*reader.token());
    let follow = Follow::begin(gateway, topic, start)?.charged_to(account);
    if wants(ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/event-stream")) {
        let open = gateway.limits.open(reader.token())?;
        return Ok(stream(gateway, follow, reader, open));
    }
    page(gateway, follow, &reader, asked).await
}

/// Tells where a client begins that says so; without a word, with the oldest event that is kept.
pub fn start(gateway: &Gateway, after: Option<&str>) -> Result<Start, Refusal> {
    Ok(match after {
        None | Some("start") => Start::Oldest,
        Some("now") => Start::Now,
        Some(text) => Start::At(Cursor::decode(text, &gateway.token_key).map_err(|_| {
            Refusal::Malformed("after is not a cursor; give one as it was received, start or now")
        })?),
    })
}

#[derive(Serialize)]
struct Page<'a> {
    events: Vec<Told<'a>>,
    /// What to give as `after` next.
    cursor: String,
    /// Whether there is known to be more, to be asked for at once.
    more: bool,
}

/// An event as the feed tells it.
#[derive(Serialize)]
pub struct Told<'a> {
    id: String,
    kind: &'a str,
    transaction: &'a str,
    status: &'a str,
    created_at: String,
    /// The event's data as it was published, to the last digit; null once it was purged.
    data: &'a RawValue,
}

impl<'a> Told<'a> {
    pub fn of(event: &'a Event) -> serde_json::Result<Self> {
        Ok(Self {
            id: event.id.to_string(),
            kind: &event.kind,
            transaction: &event.transaction_id,
            status: &event.status,
            created_at: event
                .created_at
                .to_rfc3339_opts(SecondsFormat::Micros, true),
            data: data(event)?,
        })
    }
}

/// An event's data as JSON; the database takes nothing for JSON that is none.
pub fn data(event: &Event) -> serde_json::Result<&RawValue> {
    if event.data.is_empty() {
        return Ok(RawValue::NULL);
    }
    serde_json::from_str(&event.data)
}

async fn page(
    gateway: &Gateway,
    mut follow: Follow,
    reader: &Reader,
    asked: &Asked,
) -> Result<Response, Refusal> {
    let limit = asked.limit.unwrap_or(LIMIT);
    if !(1..=usize::from(STRETCH)).contains(&limit) {
        return Err(Refusal::Malformed("limit is not from 1 to 500"));
    }
    let wait = gateway.wait(asked.wait.as_deref())?;
    let Batch { mut entries, held } = if wait.is_zero() {
        follow.next(wait).await?
    } else {
        let _open = gateway.limits.open(reader.token())?;
        let _waits = gateway.metrics.gateway().waits();
        let wait = match reader {
            Reader::Merchant(_) => wait,
            Reader::Session(session) => wait.min(session.left(gateway.clock.now())),
        };
        follow.next(wait).await?
    };
    let is_cut = entries.len() > limit;
    entries.truncate(limit);
    let cursor = match entries.last() {
        Some(last) if is_cut => follow.cursor_behind(last),
        _ => follow.cursor(),
    };
    let told = entries.iter().map(|entry| Told::of(&entry.event.event));
    let page = Page {
        events: told.collect::<Result<_, _>>().map_err(|_| UNREADABLE)?,
        cursor: cursor.encode(&gateway.token_key),
        more: is_cut || follow.is_behind(),
    };
    let text = serde_json::to_vec(&page).map_err(|_| UNREADABLE)?;
    gateway
        .metrics
        .gateway()
        .sent(Sent::Page, page.events.len());
    let body = Body::from(guarded(text.into(), held));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// The database takes nothing for JSON that is none.
const UNREADABLE: Refusal = Refusal::NotFound;

struct Streaming {
    gateway: Arc<Gateway>,
    follow: Follow,
    reader: Reader,
    begun: bool,
    /// What is still to be sent, and what all of it takes.
    batch: vec::IntoIter<SeenEvent>,
    held: Option<Arc<Held>>,
    _open: Open,
    _counted: Count,
}

fn stream(gateway: &Arc<Gateway>, follow: Follow, reader: Reader, open: Open) -> Response {
    let streaming = Streaming {
        gateway: Arc::clone(gateway),
        follow,
        reader,
        begun: false,
        batch: Vec::new().into_iter(),
        held: None,
        _open: open,
        _counted: gateway.metrics.gateway().streams(),
    };
    Sse::new(streaming.events()).into_response()
}

impl Streaming {
    fn events(self) -> impl Stream<Item = Result<sse::Event, axum::Error>> {
        stream::unfold(self, |mut streaming| async move {
            let message = streaming.next().await?;
            Some((Ok(message), streaming))
        })
    }

    /// Gives the next message; none ends the stream, and its client comes back with what it saw
    /// last. A message is made when its client has taken those before it.
    async fn next(&mut self) -> Option<sse::Event> {
        if !std::mem::replace(&mut self.begun, true) {
            // At once, so that the client knows that it is heard, and from where on.
            return Some(self.heartbeat().retry(RETRY));
        }
        if let Some(entry) = self.batch.next() {
            return self.message(&entry);
        }
        self.held = None;
        let gateway = &self.gateway;
        if gateway.stop.is_cancelled() || !self.reader.may_go_on(gateway).await {
            return None;
        }
        let batch = self.follow.next(self.reader.pause(gateway)).await.ok()?;
        self.batch = batch.entries.into_iter();
        self.held = batch.held;
        match self.batch.next() {
            Some(entry) => self.message(&entry),
            None => Some(self.heartbeat()),
        }
    }

    fn message(&self, entry: &SeenEvent) -> Option<sse::Event> {
        let told = Told::of(&entry.event.event).ok()?;
        self.gateway.metrics.gateway().sent(Sent::Stream, 1);
        let id = self.follow.cursor_behind(entry);
        let id = id.encode(&self.gateway.token_key);
        Some(
            sse::Event::default()
                .id(id)
                .data(serde_json::to_string(&told).ok()?),
        )
    }

    /// A message without data: browsers tell their page nothing of it, and keep the position.
    fn heartbeat(&self) -> sse::Event {
        let cursor = self.follow.cursor();
        sse::Event::default().id(cursor.encode(&self.gateway.token_key))
    }
}
