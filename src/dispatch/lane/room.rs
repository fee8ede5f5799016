//! How much of what waits for an endpoint belongs in memory, and in the air. Without I/O.

use std::time::{Duration, Instant};

use super::Lane;
use crate::dispatch::throttle::Throttle;

/// A lane keeps what its endpoint can take within this time; the rest goes to the
/// database. Long enough that a backlog of healthy endpoints fills the memory to where the
/// feed waits, on a machine that sends some 5,000 a second or more: with less, the feed
/// reads on and most of the backlog takes the way through the database, which costs
/// PostgreSQL twice as much.
const HORIZON: Duration = Duration::from_secs(3);

impl Lane {
    pub(super) fn has_room(&self, pressure: f64, now: Instant) -> bool {
        let queued = self.queue.len() - self.replays;
        queued < self.free_slots(now) || queued < self.capacity(pressure, now)
    }

    /// How many deliveries the endpoint can take within the horizon.
    pub(super) fn capacity(&self, pressure: f64, now: Instant) -> usize {
        if self.is_stalled(now) {
            return 0;
        }
        let rate = self
            .service
            .rate(self.limit(now), !self.in_flight.is_empty(), now);
        let asked_for = self.throttle.as_deref().and_then(Throttle::rate);
        let limits = self.subscription.rate.into_iter().chain(asked_for);
        let rate = limits.fold(rate, f64::min);
        let capacity = rate * HORIZON.as_secs_f64() * (1.0 - pressure).max(0.0);
        // Finite and not negative; more than memory holds is cut by `pressure`.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "see above"
        )]
        let capacity = capacity as usize;
        capacity
    }

    /// Whether nothing says that the endpoint takes more than what is sent to it now.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let is_silent = !self.in_flight.is_empty() && now >= self.service.silent_at();
        is_silent || self.breaker.is_open() || self.is_told_to_wait()
    }

    pub(super) fn limit(&self, now: Instant) -> u16 {
        let limit = self.breaker.limit(self.subscription.max_in_flight, now);
        match &self.throttle {
            Some(throttle) => throttle.limit(limit, now),
            None => limit,
        }
    }

    pub(super) fn free_slots(&self, now: Instant) -> usize {
        usize::from(self.limit(now)).saturating_sub(self.in_flight.len())
    }

    /// How many replays may be in the air: half of what may be at all, so that what an event
    /// causes itself finds a place at once.
    pub(super) fn replay_slots(&self, now: Instant) -> usize {
        usize::from(self.limit(now)).div_ceil(2)
    }

    /// Whether the one at this place of the queue is a replay that has to wait for others.
    pub(super) fn is_replay_too_many(&self, at: usize, now: Instant) -> bool {
        let in_the_air = || self.in_flight.keys().filter(|key| key.is_replay()).count();
        at >= self.queue.len() - self.replays && in_the_air() >= self.replay_slots(now)
    }
}
