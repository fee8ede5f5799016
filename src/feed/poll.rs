//! How soon to look again. Pure.

use std::time::{Duration, Instant};

/// From the beginning of one reading to that of the next. It grows from `min` to `max` with
/// the time since something was found: a hundredth of it. So traffic of some events a second
/// is read at the short pace, and only a database that has been quiet for seconds is polled at
/// the long one.
///
/// What a reading takes is not added: an event would wait for that twice, once for the reading
/// that just missed it and once for its own.
#[derive(Debug)]
pub struct Poll {
    min: Duration,
    max: Duration,
    found: Instant,
}

/// However long a reading takes, this part of the pace is left between two of them: one
/// that finds more costs less.
const REST: u32 = 5;

impl Poll {
    /// The pace of a database in which something was found at `now`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration, now: Instant) -> Self {
        Self {
            min,
            max,
            found: now,
        }
    }

    /// Notes that a reading has found something.
    pub const fn found_something(&mut self, now: Instant) {
        self.found = now;
    }

    /// How long to wait after a reading.
    #[must_use]
    pub fn pause(&self, began: Instant, now: Instant) -> Duration {
        let idle = now.saturating_duration_since(self.found);
        let pace = (idle / 100).clamp(self.min, self.max.max(self.min));
        let took = now.saturating_duration_since(began);
        pace.saturating_sub(took).max(pace / REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_pause_grows_while_nothing_is_found() {
        let start = Instant::now();
        let mut poll = Poll::new(ms(5), ms(20), start);
        for (idle, pause) in [(0, 5), (500, 5), (1_000, 10), (60_000, 20)] {
            let now = start + ms(idle);
            assert_eq!(poll.pause(now, now), ms(pause), "idle for {idle} ms");
        }
        let now = start + Duration::from_mins(1);
        poll.found_something(now);
        assert_eq!(poll.pause(now, now), ms(5));
    }

    #[test]
    fn a_reading_takes_from_the_pause_and_leaves_some() {
        let began = Instant::now();
        let poll = Poll::new(ms(5), ms(20), began);
        for (took, pause) in [(0, 5), (2, 3), (4, 1), (50, 1)] {
            assert_eq!(poll.pause(began, began + ms(took)), ms(pause), "{took} ms");
        }
    }
}
