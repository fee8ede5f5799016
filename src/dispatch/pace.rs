//! A subscription's rate limit: `governor`, on a clock that is an argument.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Lets one send through per period; none is saved up beyond the first.
#[derive(Debug)]
pub struct Pace {
    limiter:
        RateLimiter<NotKeyed, InMemoryState, Stepped, governor::middleware::NoOpMiddleware<Nanos>>,
    clock: Stepped,
    origin: Instant,
}

impl Pace {
    /// `rate` is in sends a second.
    #[must_use]
    pub fn new(rate: f64, now: Instant) -> Self {
        let period = Duration::try_from_secs_f64(1.0 / rate)
            .unwrap_or(Duration::MAX)
            .max(Duration::from_nanos(1));
        let clock = Stepped::default();
        let quota = Quota::with_period(period)
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(NonZeroU32::MIN);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
            origin: now,
        }
    }

    /// Takes the right to send now, or says when to ask again.
    pub fn take(&self, now: Instant) -> Result<(), Instant> {
        self.clock.set(now.saturating_duration_since(self.origin));
        self.limiter.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            now + wait.max(Duration::from_micros(1))
        })
    }
}

/// A clock that stands where it was put.
#[derive(Clone, Debug, Default)]
struct Stepped(Arc<AtomicU64>);

impl Stepped {
    fn set(&self, since_origin: Duration) {
        let nanos = u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }
}

impl Clock for Stepped {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_are_spread_evenly() {
        let start = Instant::now();
        let pace = Pace::new(10.0, start);
        let mut now = start;
        let mut sent = vec![];
        while sent.len() < 5 {
            match pace.take(now) {
                Ok(()) => sent.push(now.duration_since(start).as_millis()),
                Err(again) => now = again,
            }
        }
        assert_eq!(sent, [0, 100, 200, 300, 400]);
    }
}
