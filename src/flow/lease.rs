//! Until when this worker may send, known to whoever sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a sender is told of each loss: by the keeper at once, and by the reader, which may
/// have handed the shard on in between.
const TOLD: u64 = 2;

/// Until when this worker's leases are valid. The keeper says so; the dispatcher asks before each
/// send. A process that was stopped and wakes up late finds the time passed at its first look,
/// before the keeper has had its turn.
#[derive(Clone, Debug)]
pub struct Lease {
    origin: Instant,
    valid_for: Arc<AtomicU64>,
    /// How often the sender has to have been told of losses.
    losses: Arc<AtomicU64>,
}

impl Lease {
    /// A lease that holds for nothing yet; times count from `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            valid_for: Arc::default(),
            losses: Arc::default(),
        }
    }

    /// Says until when every lease is valid; none where nothing is held.
    pub fn set(&self, valid_until: Option<Instant>) {
        let valid_for = valid_until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(self.origin)
        });
        let nanos = u64::try_from(valid_for.as_nanos()).unwrap_or(u64::MAX);
        self.valid_for.store(nanos, Ordering::Release);
    }

    /// Notes that shards were lost: what is set from now on is for those who know of it.
    pub fn lost(&self) {
        self.losses.fetch_add(TOLD, Ordering::Release);
    }

    /// Whether something may be sent at this instant. `losses` is how often the asker was told of
    /// one: what it has yet to be told may be of the shard that it asks for, and the others' leases
    /// may have been renewed since.
    #[must_use]
    pub fn is_valid(&self, now: Instant, losses: u64) -> bool {
        // In this order: a lease that was set after a loss is never taken for an older one.
        let valid_for = Duration::from_nanos(self.valid_for.load(Ordering::Acquire));
        now.saturating_duration_since(self.origin) < valid_for
            && self.losses.load(Ordering::Acquire) == losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_was_renewed_after_a_loss_is_for_those_who_know_of_the_loss() {
        let now = Instant::now();
        let lease = Lease::new(now);
        assert!(!lease.is_valid(now, 0));
        let later = now + Duration::from_secs(1);
        lease.set(Some(later));
        assert!(lease.is_valid(now, 0));
        assert!(!lease.is_valid(later, 0));
        lease.lost();
        lease.set(Some(later));
        assert!(!lease.is_valid(now, 0));
        assert!(!lease.is_valid(now, 1), "the reader has yet to tell");
        assert!(lease.is_valid(now, 2));
    }
}
