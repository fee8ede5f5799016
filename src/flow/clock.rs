//! One clock for the whole fleet: the database's, carried forward monotonically.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};

/// The database's time at any instant of this process. Workers on machines whose clocks differ
/// write comparable times, and a step of the local clock changes nothing.
#[derive(Clone, Debug)]
pub struct DbClock(Arc<ArcSwap<Anchor>>);

#[derive(Clone, Copy, Debug)]
struct Anchor {
    instant: Instant,
    time: DateTime<Utc>,
}

impl DbClock {
    /// Anchors the clock: the database said `time` at about `instant`.
    #[must_use]
    pub fn anchored(instant: Instant, time: DateTime<Utc>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Anchor { instant, time })))
    }

    /// Anchors the clock anew: the database said `time` at about `instant`.
    pub fn anchor(&self, instant: Instant, time: DateTime<Utc>) {
        self.0.store(Arc::new(Anchor { instant, time }));
    }

    /// The database's time now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.at(Instant::now())
    }

    /// The database's time at an instant of this process.
    #[must_use]
    pub fn at(&self, instant: Instant) -> DateTime<Utc> {
        let anchor = **self.0.load();
        anchor.time + delta(instant.saturating_duration_since(anchor.instant))
            - delta(anchor.instant.saturating_duration_since(instant))
    }
}

/// A span of this process's life as chrono has it: far below the centuries that fit.
fn delta(span: Duration) -> TimeDelta {
    TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX)
}
