//! Spares an endpoint that keeps failing. A state machine without I/O.

use std::time::{Duration, Instant};

/// When an endpoint counts as failing, and how it is probed then.
#[derive(Clone, Copy, Debug)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u32,
    /// The pause before the first probe; it doubles after each that fails.
    pub probe_min: Duration,
    /// The longest pause between two probes.
    pub probe_max: Duration,
}

#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    /// One request at a time, the next not before `next`.
    Probing {
        pause: Duration,
        next: Instant,
    },
    /// Recovering: the limit grows by one with each success.
    Ramp {
        limit: u16,
    },
}

impl Breaker {
    #[must_use]
    pub const fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: State::Closed { failures: 0 },
        }
    }

    /// How many requests may be in the air, at most `max`.
    #[must_use]
    pub fn limit(&self, max: u16, now: Instant) -> u16 {
        match self.state {
            State::Closed { .. } => max,
            State::Probing { next, .. } => u16::from(now >= next),
            State::Ramp { limit } => limit.min(max),
        }
    }

    /// When the limit rises by itself.
    #[must_use]
    pub const fn next_probe(&self) -> Option<Instant> {
        match self.state {
            State::Probing { next, .. } => Some(next),
            State::Closed { .. } | State::Ramp { .. } => None,
        }
    }

    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    pub fn succeeded(&mut self, max: u16) {
        self.state = match self.state {
            State::Probing { .. } => State::Ramp { limit: 2 },
            State::Ramp { limit } if limit < max => State::Ramp { limit: limit + 1 },
            State::Ramp { .. } | State::Closed { .. } => State::Closed { failures: 0 },
        };
    }

    pub fn failed(&mut self, now: Instant) {
        let BreakerSettings {
            failures: most,
            probe_min,
            probe_max,
        } = self.settings;
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < most => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } | State::Ramp { .. } => State::Probing {
                pause: probe_min,
                next: now + probe_min,
            },
            // Requests that were already in the air when it opened fail after it.
            State::Probing { .. } if now < self.next_probe().unwrap_or(now) => return,
            State::Probing { pause, .. } => {
                let pause = (pause * 2).min(probe_max);
                State::Probing {
                    pause,
                    next: now + pause,
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures: 3,
        probe_min: Duration::from_millis(100),
        probe_max: Duration::from_millis(300),
    };

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..3 {
            breaker.failed(now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..9 {
            breaker.failed(now);
            breaker.failed(now);
            breaker.succeeded(10);
        }
        assert_eq!(breaker.limit(10, now), 10);
        assert_eq!(opened(now).limit(10, now), 0);
    }

    #[test]
    fn probes_go_one_at_a_time_with_growing_pauses() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let mut now = start;
        for pause in [100, 200, 300, 300] {
            let pause = Duration::from_millis(pause);
            assert_eq!(breaker.next_probe(), Some(now + pause));
            now += pause;
            assert_eq!(breaker.limit(10, now), 1);
            breaker.failed(now);
        }
    }

    #[test]
    fn failures_from_before_it_opened_do_not_lengthen_the_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failed(now + Duration::from_millis(1));
        assert_eq!(breaker.next_probe(), Some(now + SETTINGS.probe_min));
    }

    #[test]
    fn it_ramps_up_after_a_probe_succeeds_and_falls_back_on_a_failure() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let mut limits = vec![];
        for _ in 0..4 {
            breaker.succeeded(4);
            limits.push(breaker.limit(4, now));
        }
        assert_eq!(limits, [2, 3, 4, 4]);
        breaker.failed(now);
        assert_eq!(breaker.limit(4, now), 4, "it was closed again");
        let mut ramping = opened(now);
        ramping.succeeded(4);
        ramping.failed(now);
        assert!(ramping.is_open());
    }
}
