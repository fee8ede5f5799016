//! Until when this worker may send, known to whoever sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The keeper says until when every lease is valid; the dispatcher asks before each
/// send. A process that was stopped and wakes up late finds the time passed at its first
/// look, before the keeper has had its turn.
#[derive(Clone, Debug)]
pub struct Lease {
    origin: Instant,
    valid_for: Arc<AtomicU64>,
}

impl Lease {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            valid_for: Arc::default(),
        }
    }

    /// None: nothing is held.
    pub fn set(&self, valid_until: Option<Instant>) {
        let valid_for = valid_until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(self.origin)
        });
        let nanos = u64::try_from(valid_for.as_nanos()).unwrap_or(u64::MAX);
        self.valid_for.store(nanos, Ordering::Release);
    }

    #[must_use]
    pub fn is_valid(&self, now: Instant) -> bool {
        let valid_for = Duration::from_nanos(self.valid_for.load(Ordering::Acquire));
        now.saturating_duration_since(self.origin) < valid_for
    }
}
