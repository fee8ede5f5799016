//! A WebSocket connection between hyper and Engine.IO, with bounds for what its client says.
//!
//! The library reads messages of up to 64 MiB, and no setting reaches that
//! (docs/decisions/0034-sockets-are-bounded-below-the-library.md). Here the frames are counted
//! as they pass, and what is too large ends the connection before the library has it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::budget::Held;
use super::frames::{CONTINUATION, CONTROL, Frames, Head, Part, TEXT};
use super::guests::Guest;
use super::line::Talk;

/// The largest message of a client, and all that it may say before it is admitted. A token, a
/// cursor and a name are far smaller, and nothing else is listened to.
pub const LARGEST: u64 = 16 * 1024;

/// How long it may be from the upgrade to the admission, or, where it polled before, to its first
/// word.
const ADMISSION: Duration = Duration::from_secs(10);

/// How long it may be between two messages: the library asks every 25 seconds for a sign of life,
/// and waits 20 for it.
const SILENCE: Duration = Duration::from_mins(1);

/// Frames that may come at once, and the time in which there may be another one: a client
/// answers a ping twice a minute.
const FRAMES: u32 = 64;
const FRAME: Duration = Duration::from_millis(100);

/// What an event begins with, of Engine.IO and of Socket.IO.
pub const EVENT: &[u8] = b"42";

/// A client's end of a WebSocket, which bounds what the other end is given to read.
pub struct Wire {
    to: Client,
    guest: Arc<Guest>,
    talk: Arc<Talk>,
    hears: Hearing,
    says: Saying,
    silence: Pin<Box<Sleep>>,
    left: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether the client is still to be admitted.
    is_new: bool,
}

enum Client {
    Upgrades(OnUpgrade),
    Upgraded(TokioIo<Upgraded>),
}

impl Wire {
    /// The wire of a request that upgrades; `talk` is its connection's.
    pub fn new(upgrade: OnUpgrade, guest: Arc<Guest>, talk: Arc<Talk>) -> Self {
        Self {
            to: Client::Upgrades(upgrade),
            is_new: !guest.is_admitted(),
            left: Box::pin(guest.left()),
            guest,
            talk,
            hears: Hearing::default(),
            says: Saying::default(),
            silence: Box::pin(sleep(ADMISSION)),
        }
    }

    /// The client has a right to be here, and shows that it is.
    fn goes_on(&mut self) {
        self.is_new = false;
        self.talk.set_idle(false);
        self.silence.as_mut().reset(Instant::now() + SILENCE);
    }

    fn is_too_silent(&mut self, cx: &mut Context<'_>) -> bool {
        if self.silence.as_mut().poll(cx).is_pending() {
            return false;
        }
        if !self.is_new || !self.guest.is_admitted() {
            return true;
        }
        // Its token was looked up after its last word.
        self.goes_on();
        self.silence.as_mut().poll(cx).is_ready()
    }

    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut TokioIo<Upgraded>>> {
        if let Client::Upgrades(upgrade) = &mut self.to {
            let upgraded = ready!(Pin::new(upgrade).poll(cx)).map_err(io::Error::other)?;
            self.to = Client::Upgraded(TokioIo::new(upgraded));
        }
        match &mut self.to {
            Client::Upgraded(client) => Poll::Ready(Ok(client)),
            Client::Upgrades(_) => Poll::Pending,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.is_too_silent(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let client = ready!(self.poll_client(cx))?;
        ready!(Pin::new(client).poll_read(cx, buf))?;
        let Self { hears, guest, .. } = &mut *self;
        let messages = hears.hear(&buf.filled()[before..], guest);
        match messages {
            // Nothing of it is passed on.
            None => {
                buf.set_filled(before);
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            Some(messages) if messages > 0 && guest.is_admitted() => self.goes_on(),
            Some(_) => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let client = ready!(self.poll_client(cx))?;
        let said = ready!(Pin::new(client).poll_write(cx, buf))?;
        let Self { says, guest, .. } = &mut *self;
        says.say(&buf[..said], guest);
        Poll::Ready(Ok(said))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.to {
            // Nothing has been said yet.
            Client::Upgrades(_) => Poll::Ready(Ok(())),
            Client::Upgraded(client) => Pin::new(client).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.to {
            Client::Upgrades(_) => Poll::Ready(Ok(())),
            Client::Upgraded(client) => Pin::new(client).poll_shutdown(cx),
        }
    }
}

/// What a client says.
#[derive(Debug, Default)]
struct Hearing {
    frames: Frames,
    /// Whether the frame under way ends a message.
    ends: bool,
    /// The bytes of the message that is under way.
    message: u64,
    held: Option<Held>,
    /// Everything so far, until the client is admitted.
    all: u64,
    /// When all frames that have come would have come at the pace that is allowed.
    paced: Option<Instant>,
}

impl Hearing {
    /// How many messages these bytes complete; none where they break a bound.
    fn hear(&mut self, mut bytes: &[u8], guest: &Guest) -> Option<usize> {
        let mut messages = 0;
        while let Some(part) = self.frames.next(&mut bytes) {
            match part {
                Part::Head(head) => self.begin(head, guest)?,
                Part::End if self.ends => {
                    (self.message, self.held) = (0, None);
                    messages += 1;
                }
                Part::Payload(_) | Part::End => {}
            }
        }
        Some(messages)
    }

    fn begin(&mut self, frame: Head, guest: &Guest) -> Option<()> {
        let is_control = frame.opcode >= CONTROL;
        // Nothing that is listened to is binary, and the library gathers such parts of a
        // message without end.
        let is_known = is_control || matches!(frame.opcode, TEXT | CONTINUATION);
        if !is_known || frame.has_extension || (is_control && frame.length > 125) {
            return None;
        }
        self.pace()?;
        if !guest.is_admitted() {
            self.all = self.all.checked_add(frame.length)?;
            if self.all > LARGEST {
                return None;
            }
        }
        self.ends = !is_control && frame.is_final;
        if is_control {
            return Some(());
        }
        self.message = self.message.checked_add(frame.length)?;
        if self.message > LARGEST {
            return None;
        }
        let bytes = usize::try_from(frame.length).ok()?;
        match &mut self.held {
            Some(held) => held.grow(bytes).then_some(()),
            held @ None => {
                *held = Some(guest.account().take(bytes)?);
                Some(())
            }
        }
    }

    fn pace(&mut self) -> Option<()> {
        let now = Instant::now();
        let paced = self.paced.map_or(now, |paced| paced.max(now)) + FRAME;
        self.paced = Some(paced);
        (paced <= now + FRAME * FRAMES).then_some(())
    }
}

/// What a client is told.
#[derive(Debug, Default)]
struct Saying {
    frames: Frames,
    is_text: bool,
    /// The first bytes of the frame's payload.
    begins: [u8; EVENT.len()],
    has: usize,
}

impl Saying {
    fn say(&mut self, mut bytes: &[u8], guest: &Guest) {
        while let Some(part) = self.frames.next(&mut bytes) {
            match part {
                Part::Head(head) => (self.is_text, self.has) = (head.opcode == TEXT, 0),
                Part::Payload(payload) => {
                    for byte in payload.iter().take(EVENT.len() - self.has) {
                        self.begins[self.has] = *byte;
                        self.has += 1;
                    }
                }
                Part::End if self.is_text && self.begins[..self.has] == *EVENT => {
                    guest.departed();
                }
                Part::End => {}
            }
        }
    }
}
