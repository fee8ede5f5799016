//! Socket.IO's sessions, which outlive the requests that they consist of: what each of them
//! may still say, and what waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::budget::{Account, Held};
use super::caller::Caller;
use super::limits::Place;
use crate::store::tokens::TokenHash;

/// Events that wait for one client, and bytes of them: a slower one is waited for. It may be
/// a single event that is larger.
const WAITING: usize = 32;
const WAITING_BYTES: usize = 128 * 1024;

/// A session, from its opening to its end.
#[derive(Debug)]
pub struct Guest {
    pub caller: Caller,
    account: OnceLock<Account>,
    /// Whether a WebSocket is its own, or is about to be.
    is_wired: AtomicBool,
    outbox: Mutex<VecDeque<Waiting>>,
    has_departed: Notify,
    guests: Arc<Guests>,
    id: OnceLock<Box<str>>,
    /// Cancelled where its connections are to end, without a word.
    leave: CancellationToken,
    _place: Place,
    /// The request that opened it, which the library keeps.
    _request: Held,
}

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    held: Arc<Held>,
}

/// The sessions that poll, by their ids; one with a WebSocket is nobody else's business.
#[derive(Debug, Default)]
pub struct Guests(Mutex<HashMap<Box<str>, Weak<Guest>>>);

impl Guests {
    /// A new one of this caller, with its place and what its first request takes, until
    /// `stop` at the latest.
    #[must_use]
    pub fn open(
        self: &Arc<Self>,
        caller: Caller,
        place: Place,
        request: Held,
        stop: &CancellationToken,
    ) -> Arc<Guest> {
        Arc::new(Guest {
            caller,
            account: OnceLock::new(),
            is_wired: AtomicBool::new(false),
            outbox: Mutex::default(),
            has_departed: Notify::new(),
            guests: Arc::clone(self),
            id: OnceLock::new(),
            leave: stop.child_token(),
            _place: place,
            _request: request,
        })
    }

    /// Lets a guest be found by the id of its session from now on.
    pub fn name(&self, guest: &Arc<Guest>, id: &str) {
        if guest.id.set(id.into()).is_ok() {
            self.lock().insert(id.into(), Arc::downgrade(guest));
        }
    }

    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Guest>> {
        self.lock().get(id)?.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Weak<Guest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            self.guests.lock().remove(id);
        }
    }
}

impl Guest {
    /// The account that the guest's bytes are charged to: its address's, and its token's once
    /// that is known.
    #[must_use]
    pub fn account(&self) -> &Account {
        self.account.get().unwrap_or(&self.caller.account)
    }

    /// Notes that the guest has shown a token that is good.
    pub fn admit(&self, token: TokenHash) {
        // A second token of the same session pays with the first.
        let _ = self.account.set(self.caller.account.with_token(token));
    }

    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.account.get().is_some()
    }

    /// Ends its connections. Where a client loses one it comes back by itself, which it does
    /// not when the server takes its leave with a packet of Socket.IO.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// Resolves when its connections are to end.
    pub fn left(&self) -> WaitForCancellationFutureOwned {
        self.leave.clone().cancelled_owned()
    }

    /// The right to be its one WebSocket; false where there is one.
    #[must_use]
    pub fn wire(&self) -> bool {
        !self.is_wired.swap(true, Ordering::Relaxed)
    }

    /// Resolves when another event of so many bytes may be put with those that wait.
    pub async fn room(&self, bytes: usize) {
        while !self.has_room(bytes) {
            self.has_departed.notified().await;
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let outbox = self.outbox();
        let waiting: usize = outbox.iter().map(|waiting| waiting.bytes).sum();
        outbox.is_empty() || (outbox.len() < WAITING && waiting + bytes <= WAITING_BYTES)
    }

    /// An event of so many bytes waits, and with it what is held for it.
    pub fn waits(&self, bytes: usize, held: &Arc<Held>) {
        let waiting = Waiting {
            bytes,
            held: Arc::clone(held),
        };
        self.outbox().push_back(waiting);
    }

    /// The last one was not put with the others after all.
    pub fn waits_not(&self) {
        self.outbox().pop_back();
    }

    /// An event has gone out. What is returned is held until it is with the client.
    pub fn departed(&self) -> Option<Arc<Held>> {
        let first = self.outbox().pop_front();
        self.has_departed.notify_one();
        first.map(|waiting| waiting.held)
    }

    fn outbox(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
