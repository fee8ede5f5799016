//! Socket.IO (WIRE.md 3.1 and 3.5): the event `message` with the entity of the callback.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use socketioxide::SocketIo;
use socketioxide::extract::{Extension, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::layer::SocketIoLayer;
use tokio::time::{sleep, timeout};

use super::Gateway;
use super::budget::Held;
use super::door::PATH;
use super::feed::{self, Reader};
use super::follow::{Batch, Follow, Start};
use super::guests::Guest;
use super::hub::SeenEvent;
use super::refusal::Refusal;
use super::topic::{Of, Topic};
use super::transaction::transaction_id;
use super::wire::LARGEST;
use crate::http::metrics::Sent;

/// The event's name (WIRE.md 3.5).
const MESSAGE: &str = "message";

/// The most messages that wait for one client: more than the events that may wait, so that there is
/// always room for what the library has to say itself.
const BUFFER: usize = 64;

/// How long to wait before a database that is away is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// A client that has not taken an event after so long is to come back when it can.
const SLOW: Duration = Duration::from_mins(1);

/// What stands around an event's data.
const AROUND: usize = 64;

/// WebSocket frames come in pieces of this: clients say little.
const READ_BUFFER: usize = 1024;

/// What `?id=` of the vendor's clients has before the device's id.
const DEVICE: &str = "id_";

pub fn layer(gateway: &Arc<Gateway>) -> SocketIoLayer {
    let (layer, io) = SocketIo::builder()
        // What one request may say; an event that is larger is an answer of its own.
        .max_payload(LARGEST)
        .req_path(PATH)
        .max_buffer_size(BUFFER)
        .ws_read_buffer_size(READ_BUFFER)
        .connect_timeout(Duration::from_secs(10))
        .build_layer();
    let (admits, serves) = (Arc::clone(gateway), Arc::clone(gateway));
    let admit = move |socket: SocketRef, TryData(asked): TryData<Asked>| {
        let gateway = Arc::clone(&admits);
        async move { admit(&gateway, &socket, asked.unwrap_or_default()).await }
    };
    let serve = async move |socket: SocketRef,
                            Extension(admitted): Extension<Admitted>,
                            Extension(guest): Extension<Arc<Guest>>| {
        tokio::spawn(serve(Arc::clone(&serves), socket, admitted, guest));
    };
    io.ns("/", serve.with(admit));
    layer
}

/// What a client says when it connects, as `auth` or, what is no merchant's secret, in the
/// query.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    token: Option<String>,
    /// The id of a device, with or without `id_`.
    id: Option<String>,
    transaction: Option<String>,
    after: Option<String>,
}

/// What it gets.
#[derive(Clone)]
struct Admitted {
    topic: Topic,
    start: Start,
    /// Whether the client wants to know where it stands: then each message has a second argument.
    wants_cursor: bool,
    reader: Reader,
}

/// Why a client is turned away; the text is the `message` of its `connect_error`.
struct TurnedAway(Refusal);

impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code())
    }
}

async fn admit(gateway: &Arc<Gateway>, socket: &SocketRef, auth: Asked) -> Result<(), TurnedAway> {
    let asked = socket.req_parts();
    let query = Asked::of_query(asked.uri.query().unwrap_or_default());
    let admitted = async {
        let guest = asked.extensions.get::<Arc<Guest>>();
        let guest = guest.ok_or(Refusal::Busy)?;
        // One connection can ask as often as it likes.
        gateway.limits.address(guest.caller.address)?;
        let admitted = admitted(gateway, auth, query).await?;
        guest.admit(*admitted.reader.token());
        Ok::<_, Refusal>((admitted, Arc::clone(guest)))
    };
    match admitted.await {
        Ok((admitted, guest)) => {
            socket.extensions.insert(admitted);
            socket.extensions.insert(guest);
            Ok(())
        }
        Err(refusal) => {
            gateway.metrics.gateway().refused(refusal.code());
            Err(TurnedAway(refusal))
        }
    }
}

impl Asked {
    fn of_query(query: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "token" => &mut asked.token,
                "id" => &mut asked.id,
                "transaction" => &mut asked.transaction,
                "after" => &mut asked.after,
                _ => continue,
            };
            *place = Some(value.into_owned());
        }
        asked
    }
}

async fn admitted(gateway: &Arc<Gateway>, auth: Asked, query: Asked) -> Result<Admitted, Refusal> {
    let after = auth.after.or(query.after);
    let id = auth.id.or(query.id);
    let transaction = auth.transaction.or(query.transaction);
    let (reader, topic) = match (&auth.token, &query.token) {
        (Some(token), _) => match gateway.session(Some(token)).await {
            Ok(session) => of_session(gateway, session, id, transaction)?,
            Err(Refusal::Unauthorized) => {
                let merchant = gateway.merchant(Some(token)).await?;
                let topic = Topic {
                    merchant: merchant.token.merchant.clone(),
                    of: of(id, transaction)?,
                };
                (Reader::Merchant(merchant.hash), topic)
            }
            Err(refusal) => return Err(refusal),
        },
        (None, Some(token)) => {
            let session = gateway.session(Some(token)).await?;
            of_session(gateway, session, id, transaction)?
        }
        (None, None) => return Err(Refusal::Unauthorized),
    };
    let wants_cursor = after.is_some();
    let start = match after {
        // Whoever does not know of cursors hears what happens from now on.
        None => Start::Now,
        Some(after) => feed::start(
            gateway,
            Some(after.as_str()).filter(|text| !text.is_empty()),
        )?,
    };
    Ok(Admitted {
        topic,
        start,
        wants_cursor,
        reader,
    })
}

/// A session is for its own transaction or device; whoever names another one is told what a
/// token is told that opens nothing.
fn of_session(
    gateway: &Gateway,
    session: Arc<super::access::Session>,
    id: Option<String>,
    transaction: Option<String>,
) -> Result<(Reader, Topic), Refusal> {
    let topic = session.topic();
    let named = match of(id, transaction)? {
        Of::Everything => true,
        named => named == topic.of,
    };
    if !named || session.is_over(gateway.clock.now()) {
        return Err(Refusal::Unauthorized);
    }
    Ok((Reader::Session(session), topic))
}

fn of(id: Option<String>, transaction: Option<String>) -> Result<Of, Refusal> {
    const TOO_LONG: Refusal = Refusal::Malformed("the id is empty or longer than 1000 bytes");
    if let Some(transaction) = transaction {
        return Ok(Of::Transaction(
            transaction_id(&transaction).ok_or(TOO_LONG)?,
        ));
    }
    let Some(id) = id else {
        return Ok(Of::Everything);
    };
    let device = id.strip_prefix(DEVICE).unwrap_or(&id);
    Ok(Of::Device(transaction_id(device).ok_or(TOO_LONG)?))
}

async fn serve(gateway: Arc<Gateway>, socket: SocketRef, admitted: Admitted, guest: Arc<Guest>) {
    let Admitted {
        topic,
        start,
        wants_cursor,
        reader,
    } = admitted;
    let opened = gateway.limits.open(reader.token());
    let followed = Follow::begin(&gateway, topic, start);
    let Ok(_open) = opened else {
        let _ = socket.disconnect();
        return;
    };
    let Ok(follow) = followed else {
        guest.leave();
        return;
    };
    let mut follow = follow.charged_to(guest.account().clone());
    let _counted = gateway.metrics.gateway().sockets();
    // A gateway that stops ends the connections of its guests: they come back to another one,
    // and go on where they were.
    while socket.connected() && !gateway.stop.is_cancelled() {
        if !reader.may_go_on(&gateway).await {
            let _ = socket.disconnect();
            return;
        }
        let Ok(Batch { entries, held }) = follow.next(reader.pause(&gateway)).await else {
            sleep(AGAIN).await;
            continue;
        };
        for (entry, held) in entries.iter().zip(held.iter().cycle()) {
            let cursor = wants_cursor.then(|| {
                let cursor = follow.cursor_behind(entry);
                cursor.encode(&gateway.token_key)
            });
            let sent = send(&socket, &guest, entry, cursor.as_deref(), held);
            if !matches!(timeout(SLOW, sent).await, Ok(Some(()))) {
                guest.leave();
                return;
            }
        }
        gateway.metrics.gateway().sent(Sent::Socket, entries.len());
    }
}

/// None: the client has gone.
async fn send(
    socket: &SocketRef,
    guest: &Guest,
    entry: &SeenEvent,
    cursor: Option<&str>,
    held: &Arc<Held>,
) -> Option<()> {
    let data = feed::data(&entry.event.event).ok()?;
    let bytes = data.get().len() + cursor.map_or(0, str::len) + AROUND;
    tokio::select! {
        () = guest.room(bytes) => {}
        () = gone(socket) => return None,
    }
    // Before it can have departed.
    guest.waits(bytes, held);
    let sent = match cursor {
        Some(cursor) => socket.emit(MESSAGE, &(data, cursor)),
        None => socket.emit(MESSAGE, &(data,)),
    };
    if sent.is_err() {
        guest.waits_not();
    }
    sent.ok()
}

/// Resolves when the client is no longer connected.
async fn gone(socket: &SocketRef) {
    while socket.connected() {
        sleep(AGAIN).await;
    }
}
