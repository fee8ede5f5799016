//! Connections that are kept for the next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::head::Keep;
use super::{Connection, Origin};

/// Many receivers close an idle connection after 5 s. What is sent into a closing connection
/// goes out twice, or costs the delivery an attempt (decision 38).
const IDLE: Duration = Duration::from_secs(4);

/// The largest `max_in_flight` (WIRE.md 4.3): no connection of a busy subscription is
/// closed only to be opened again.
const MOST_PER_ORIGIN: usize = 500;

/// How often connections are looked for that nobody may use any more.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Pool(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    idle: HashMap<Origin, Vec<Idle>>,
    /// Whether a task sweeps: there is one as long as there are connections.
    swept: bool,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

/// How long a connection may lie idle: as the receiver says, and never for longer than usual.
pub(super) fn usual(keep: Keep) -> Option<Duration> {
    match keep {
        Keep::Closed => None,
        Keep::For(idle) => Some(idle.min(IDLE)),
        Keep::AsLongAsUsual => Some(IDLE),
    }
}

impl Pool {
    /// The one that was used last: it is the least likely to be closed.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        loop {
            let mut idle = self.kept().take(origin)?;
            if idle.until > Instant::now() && idle.connection.is_good() {
                return Some(idle.connection);
            }
            idle.connection.close();
        }
    }

    pub(super) fn put(
        self: &Arc<Self>,
        origin: Origin,
        mut connection: Connection,
        idle: Duration,
    ) {
        connection.rest();
        let idle = Idle {
            connection,
            until: Instant::now() + idle,
        };
        let mut kept = self.kept();
        let others = kept.idle.entry(origin).or_default();
        if others.len() == MOST_PER_ORIGIN {
            others.remove(0).connection.close();
        }
        others.push(idle);
        if !std::mem::replace(&mut kept.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn take(&mut self, origin: &Origin) -> Option<Idle> {
        let idle = self.idle.get_mut(origin)?;
        let last = idle.pop();
        if idle.is_empty() {
            self.idle.remove(origin);
        }
        last
    }

    /// Takes out what nobody may use any more.
    fn expired(&mut self, now: Instant) -> Vec<Idle> {
        let of_all = self.idle.values_mut();
        let expired = of_all
            .flat_map(|idle| idle.extract_if(.., |idle| idle.until <= now))
            .collect();
        self.idle.retain(|_, idle| !idle.is_empty());
        expired
    }
}

/// Sweeps until there is nothing left to sweep, or nobody who could use it.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        let expired = {
            let mut kept = pool.kept();
            let expired = kept.expired(Instant::now());
            kept.swept = !kept.idle.is_empty();
            expired
        };
        for idle in expired {
            idle.connection.close();
        }
        if !pool.kept().swept {
            return;
        }
    }
}
