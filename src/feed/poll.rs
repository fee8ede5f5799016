//! How soon to look again. Pure.

use std::time::{Duration, Instant};

/// From the beginning of one reading to that of the next.
///
/// A reading that found something is followed by the next after `min`: sooner, each would bring
/// fewer events and cost the same. After one that found nothing it is only looked whether anything
/// has happened, which costs little, so an event that comes alone need not wait for that long:
/// at first after two fifths of it, then more seldom, as a hundredth of the time since something
/// was found, up to `max`. So only a database that has been quiet for seconds is looked at at that pace.
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

    /// How long to wait after a reading that began then, and has found something or not.
    pub fn pause(&mut self, found: bool, began: Instant, now: Instant) -> Duration {
        let pace = if found {
            self.found = now;
            self.min
        } else {
            let idle = now.saturating_duration_since(self.found);
            let least = self.min * 2 / 5;
            (idle / 100).clamp(least, self.max.max(least))
        };
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
        for (idle, pause) in [(0, 2), (100, 2), (1_000, 10), (60_000, 20)] {
            let now = start + ms(idle);
            assert_eq!(poll.pause(false, now, now), ms(pause), "idle for {idle} ms");
        }
        let now = start + Duration::from_mins(1);
        assert_eq!(poll.pause(true, now, now), ms(5));
        assert_eq!(poll.pause(false, now, now), ms(2));
    }

    #[test]
    fn a_reading_takes_from_the_pause_and_leaves_some() {
        let began = Instant::now();
        let mut poll = Poll::new(ms(5), ms(20), began);
        for (took, pause) in [(0, 5), (2, 3), (4, 1), (50, 1)] {
            let now = began + ms(took);
            assert_eq!(poll.pause(true, began, now), ms(pause), "{took} ms");
        }
    }
}
