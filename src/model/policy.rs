//! The rules that judge and plan follow.

use std::time::Duration;

/// When an answer counts as delivered, and when it ends the delivery at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccessRule {
    /// The statuses that count as delivered.
    pub statuses: StatusRanges,
    /// Text that the body must be, letter case and surrounding white space ignored (WIRE.md 5.3).
    /// None: the body does not count.
    pub body: Option<String>,
    /// Statuses after which no retry is made.
    pub give_up: StatusRanges,
    /// Statuses after which no retry is made, and the subscription is disabled.
    pub disable: StatusRanges,
}

/// Ranges of HTTP statuses, each with its first and its last one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

impl StatusRanges {
    /// Whether one of the ranges has the status.
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
    /// How long to wait before each retry.
    pub schedule: Schedule,
    /// The most attempts that are made, the first send counted; none means that only `max_age` ends
    /// the retries.
    pub max_attempts: Option<u32>,
    /// How long after the event's insertion retries may still be made; none means that only
    /// `max_attempts` or the schedule ends them.
    pub max_age: Option<Duration>,
    /// The longest delay between two attempts, whatever the schedule or `Retry-After` says.
    pub cap: Duration,
    /// Whether a receiver's `Retry-After` puts the next attempt off.
    pub honour_retry_after: bool,
}

/// The delays between the attempts of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// The same delay after every attempt.
    Fixed(Duration),
    /// A delay that grows: `interval * factor^(n - 1)` after attempt n, spread by up to `jitter` of
    /// itself to either side.
    Exponential {
        /// The delay after the first attempt.
        interval: Duration,
        /// What each delay is multiplied by for the next one, 1 or more.
        factor: f64,
        /// How much of itself a delay is spread by, to either side: 0 to 1.
        jitter: f64,
    },
    /// A delay for each attempt: the n-th follows attempt n, and after the last the delivery is
    /// given up.
    List(Vec<Duration>),
}
