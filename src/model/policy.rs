//! The rules that judge and plan follow.

use std::time::Duration;

/// When an answer counts as delivered, and when it ends the delivery at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessRule {
    pub statuses: StatusRanges,
    /// Text that the body must be, letter case and surrounding white space ignored
    /// (WIRE.md 5.3).
    pub body: Option<String>,
    /// Statuses after which no retry is made.
    pub give_up: StatusRanges,
    /// Statuses that disable the subscription as well.
    pub disable: StatusRanges,
}

/// Inclusive ranges of HTTP statuses.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

impl StatusRanges {
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0
            .iter()
            .any(|&(low, high)| (low..=high).contains(&status))
    }
}

/// When, and how often, a failed delivery is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    pub schedule: Schedule,
    /// Counts the first send; none means that only `max_age` ends the retries.
    pub max_attempts: Option<u32>,
    /// Counted from the event's insertion.
    pub max_age: Option<Duration>,
    /// No delay is longer than this, whatever the schedule or `Retry-After` says.
    pub cap: Duration,
    pub honour_retry_after: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    Fixed(Duration),
    /// `interval * factor^(n - 1)` after attempt n, spread by up to `jitter` of itself
    /// to either side (`jitter` is 0 to 1).
    Exponential {
        interval: Duration,
        factor: f64,
        jitter: f64,
    },
    /// The delay after attempt n is the n-th; after the last the delivery is given up.
    List(Vec<Duration>),
}
