//! What a receiver that says when to come back gets (429 or 503 with Retry-After): nothing
//! before then, one request to see, and after that no more than it took. A state machine
//! without I/O.

use std::time::{Duration, Instant};

/// After a refusal the pace is this share of the one that was refused.
const BACK: f64 = 0.8;

/// How much faster it gets in a second, up to the pace that was refused, as a share of that:
/// some twenty seconds between two refusals of a receiver whose limit stays as it is.
const TOWARDS: f64 = 0.01;

/// How much faster it gets in a second beyond that, as a share of the pace: a receiver that takes
/// more again is not held up for long.
const BEYOND: f64 = 0.1;

/// At so many times the pace that was refused nothing is left of the limit.
const FORGOTTEN: f64 = 8.0;

/// Requests a second, at the least: more than the shortest Retry-After lets through anyway.
const SLOWEST: f64 = 0.5;

/// What was held up for a moment is caught up with.
const CATCH_UP: Duration = Duration::from_millis(10);

/// How many requests may be in the air once the first was answered well.
const RAMP: u16 = 2;

#[derive(Debug, Default)]
pub struct Throttle {
    /// The receiver asked for nothing before then; none once a request after it was answered.
    waits_until: Option<Instant>,
    /// Requests in the air: one more with each that is answered well.
    ramp: Option<u16>,
    pace: Option<Pace>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    per_second: f64,
    /// The one that was refused.
    refused: f64,
    /// When the next one may go out.
    next: Instant,
}

impl Throttle {
    /// How many requests may be in the air, at most `max`.
    #[must_use]
    pub fn limit(&self, max: u16, now: Instant) -> u16 {
        match self.waits_until {
            Some(until) => u16::from(now >= until),
            None => self.ramp.map_or(max, |ramp| ramp.min(max)),
        }
    }

    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.waits_until.is_some()
    }

    /// When the limit rises by itself.
    #[must_use]
    pub const fn waits_until(&self) -> Option<Instant> {
        self.waits_until
    }

    /// Requests a second.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.pace.map(|pace| pace.per_second)
    }

    /// When the next request may go out, if not now.
    #[must_use]
    pub fn not_before(&self, now: Instant) -> Option<Instant> {
        let next = self.pace.filter(|_| !self.is_waiting())?.next;
        (next > now).then_some(next)
    }

    pub fn sent(&mut self, now: Instant) {
        if let Some(pace) = &mut self.pace {
            let from = pace.next.max(now.checked_sub(CATCH_UP).unwrap_or(now));
            pace.next = from + Duration::from_secs_f64(1.0 / pace.per_second);
        }
    }

    /// The receiver asks for nothing within `wait`; `taken` is what it took in the last second.
    pub fn told_to_wait(&mut self, wait: Duration, taken: f64, now: Instant) {
        // Others were in the air when it was told so first, or it still says so: it has not
        // refused a pace.
        if !self.is_waiting() {
            self.slow_down(taken, now);
        }
        self.wait_until(now + wait);
    }

    /// The last owner of the lane was told so.
    pub fn wait_until(&mut self, until: Instant) {
        let before = self.waits_until.unwrap_or(until);
        self.waits_until = Some(until.max(before));
        self.ramp = Some(RAMP);
    }

    /// A request was answered, and not with a wait. `max` is the lane's own limit.
    pub fn answered(&mut self, well: bool, max: u16, now: Instant) {
        if let Some(until) = self.waits_until {
            if now >= until {
                self.waits_until = None;
            }
            return;
        }
        if !well {
            return;
        }
        self.ramp = self.ramp.map(|ramp| ramp + 1).filter(|ramp| *ramp < max);
        if let Some(pace) = &mut self.pace {
            pace.per_second += if pace.per_second < pace.refused {
                TOWARDS * pace.refused / pace.per_second
            } else {
                BEYOND
            };
        }
        self.pace
            .take_if(|pace| pace.per_second > FORGOTTEN * pace.refused);
    }

    /// No pace is known of a receiver that took nothing at all.
    fn slow_down(&mut self, taken: f64, now: Instant) {
        let refused = self.rate().or((taken >= 1.0).then_some(taken));
        if let Some(refused) = refused {
            self.pace = Some(Pace {
                per_second: (BACK * refused).max(SLOWEST),
                refused: refused.max(SLOWEST),
                next: now,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_goes_out_before_then_and_one_request_after_it() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        throttle.told_to_wait(SECOND * 10, 0.0, start);
        throttle.answered(true, 5, start + SECOND);
        throttle.told_to_wait(SECOND * 2, 0.0, start + SECOND);
        assert_eq!(throttle.waits_until(), Some(start + SECOND * 10));
        assert_eq!(throttle.limit(5, start + SECOND * 9), 0);
        let then = start + SECOND * 10;
        assert_eq!(throttle.limit(5, then), 1);
        let limits = (0..5).map(|_| {
            throttle.answered(true, 5, then);
            throttle.limit(5, then)
        });
        assert_eq!(limits.collect::<Vec<_>>(), [2, 3, 4, 5, 5]);
        assert_eq!(throttle.rate(), None, "it never took anything");
    }

    /// A receiver that takes `limit` a second, with an answer at once, for so long: how many
    /// requests it saw and how many of those it took.
    fn drive(limit: f64, burst: f64, span: Duration) -> (u32, u32) {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let (mut now, mut filled, mut bucket) = (start, start, burst);
        let (mut seen, mut took) = (0, 0);
        let mut recent: Vec<Instant> = Vec::new();
        while now < start + span {
            now += Duration::from_millis(1);
            let may = throttle.limit(5, now) > 0 && throttle.not_before(now).is_none();
            if !may {
                continue;
            }
            throttle.sent(now);
            seen += 1;
            bucket = (bucket + limit * (now - filled).as_secs_f64()).min(burst);
            filled = now;
            recent.retain(|at| now - *at < SECOND);
            if bucket >= 1.0 {
                bucket -= 1.0;
                took += 1;
                recent.push(now);
                throttle.answered(true, 5, now);
            } else {
                let taken = f64::from(u32::try_from(recent.len()).unwrap_or(u32::MAX));
                throttle.told_to_wait(SECOND * 2, taken, now);
            }
        }
        (seen, took)
    }

    #[test]
    fn a_receiver_sees_little_more_than_it_takes_and_not_much_less() {
        for (limit, burst, least) in [
            (20.0, 20.0, 0.6),
            (5.0, 5.0, 0.6),
            (200.0, 50.0, 0.6),
            // Nothing is known of its pace but that it took one.
            (20.0, 1.0, 0.4),
        ] {
            let (seen, took) = drive(limit, burst, SECOND * 120);
            let rate = |count: u32| f64::from(count) / 120.0 / limit;
            assert!(rate(seen) < 1.05, "{limit}: {seen} seen, {took} taken");
            assert!(rate(took) > least, "{limit}: {seen} seen, {took} taken");
        }
    }

    #[test]
    fn a_receiver_that_takes_more_again_is_not_held_up_for_long() {
        let mut now = Instant::now();
        let mut throttle = Throttle::default();
        throttle.told_to_wait(SECOND, 20.0, now);
        now += SECOND;
        let mut seconds = 0;
        while throttle.rate().is_some() {
            seconds += 1;
            let rate = throttle.rate().unwrap_or_default();
            let mut sent = 0.0;
            while sent < rate {
                throttle.answered(true, 50, now);
                sent += 1.0;
            }
            now += SECOND;
        }
        assert!(seconds < 60, "{seconds} s");
    }
}
