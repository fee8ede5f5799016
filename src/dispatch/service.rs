//! How fast an endpoint is: what a lane may keep in memory follows from it. Pure.

use std::time::{Duration, Instant};

/// Assumed of an endpoint that has not answered yet.
const UNKNOWN: Duration = Duration::from_millis(10);

/// Weight of the newest answer in the average.
const NEWEST: f64 = 0.1;

/// Without an answer for this long, and for so many times what an exchange takes, an endpoint
/// may answer nothing more.
const SILENT: Duration = Duration::from_secs(1);
const SILENT_EXCHANGES: f64 = 3.0;

/// Over which time what an endpoint took counts.
const RECENT: Duration = Duration::from_secs(1);

/// A moving average of the time that an exchange takes, and the moment of the last one.
#[derive(Debug)]
pub struct ServiceTime {
    average: f64,
    last_progress: Instant,
    /// Deliveries that were taken, each of which counts less the longer it is ago.
    taken: f64,
    last_taken: Instant,
}

impl ServiceTime {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            average: UNKNOWN.as_secs_f64(),
            last_progress: now,
            taken: 0.0,
            last_taken: now,
        }
    }

    /// A request goes out while none was in the air: the wait for an answer begins.
    pub const fn began(&mut self, now: Instant) {
        self.last_progress = now;
    }

    pub fn answered(&mut self, took: Duration, now: Instant) {
        self.average += NEWEST * (took.as_secs_f64() - self.average);
        self.last_progress = now;
    }

    pub fn took_one(&mut self, now: Instant) {
        self.taken = self.taken(now) + 1.0;
        self.last_taken = now;
    }

    /// What it took in the last second, more or less.
    #[must_use]
    pub fn taken(&self, now: Instant) -> f64 {
        let ago = now.saturating_duration_since(self.last_taken);
        self.taken * (-ago.as_secs_f64() / RECENT.as_secs_f64()).exp()
    }

    /// From when on it is silent, if no answer comes before.
    #[must_use]
    pub fn silent_at(&self) -> Instant {
        self.last_progress + SILENT.max(Duration::from_secs_f64(SILENT_EXCHANGES * self.average))
    }

    /// Exchanges a second with so many in the air at a time. An endpoint that answers
    /// nothing at all gets slower with every moment that passes.
    #[must_use]
    pub fn rate(&self, parallel: u16, waiting: bool, now: Instant) -> f64 {
        let silence = if waiting {
            now.saturating_duration_since(self.last_progress)
        } else {
            Duration::ZERO
        };
        f64::from(parallel) / self.average.max(silence.as_secs_f64()).max(1e-6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_endpoint_loses_its_rate_at_once() {
        let start = Instant::now();
        let mut service = ServiceTime::new(start);
        for _ in 0..100 {
            service.answered(Duration::from_millis(1), start);
        }
        assert!(service.rate(10, true, start) > 9_000.0);
        let later = start + Duration::from_secs(2);
        assert!(
            service.rate(10, true, later) <= 5.0,
            "ten requests, no answer for 2 s"
        );
        assert!(
            service.rate(10, false, later) > 9_000.0,
            "nothing was asked of it"
        );
    }

    #[test]
    fn silence_is_longer_than_a_second_and_than_a_few_exchanges() {
        let start = Instant::now();
        let mut service = ServiceTime::new(start);
        assert_eq!(service.silent_at(), start + Duration::from_secs(1));
        for _ in 0..100 {
            service.answered(Duration::from_secs(2), start);
        }
        let silent = service.silent_at() - start;
        assert!((5.9..6.1).contains(&silent.as_secs_f64()), "{silent:?}");
    }
}
