//! How soon to look again. Pure.

use std::time::{Duration, Instant};

/// The pause grows from `min` to `max` with the time since something was found: a
/// hundredth of it. So traffic of some events a second is read at the short pause, and
/// only a database that has been quiet for seconds is polled at the long one.
#[derive(Debug)]
pub struct Poll {
    min: Duration,
    max: Duration,
    found: Instant,
}

impl Poll {
    #[must_use]
    pub const fn new(min: Duration, max: Duration, now: Instant) -> Self {
        Self {
            min,
            max,
            found: now,
        }
    }

    pub const fn found_something(&mut self, now: Instant) {
        self.found = now;
    }

    #[must_use]
    pub fn pause(&self, now: Instant) -> Duration {
        let idle = now.saturating_duration_since(self.found);
        (idle / 100).clamp(self.min, self.max.max(self.min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_while_nothing_is_found() {
        let start = Instant::now();
        let mut poll = Poll::new(Duration::from_millis(5), Duration::from_millis(20), start);
        for (idle, pause) in [(0, 5), (500, 5), (1_000, 10), (60_000, 20)] {
            let now = start + Duration::from_millis(idle);
            assert_eq!(
                poll.pause(now),
                Duration::from_millis(pause),
                "idle for {idle} ms"
            );
        }
        poll.found_something(start + Duration::from_mins(1));
        assert_eq!(
            poll.pause(start + Duration::from_mins(1)),
            Duration::from_millis(5)
        );
    }
}
