//! What is read, attempted and finished.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use super::Metrics;
use super::names::{Names, millis};
use crate::http::histogram::Histogram;
use crate::model::{OutcomeClass, State};

/// The bounds of an exchange: from a receiver on the same machine to the longest timeout that
/// makes sense.
const EXCHANGE: &[Duration] = &millis([
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000,
]);

/// Finer around the 20 ms that an idle lane should take, and up to a backlog's hours.
const FIRST_ATTEMPT: &[Duration] = &millis([
    2, 5, 10, 15, 20, 30, 50, 100, 200, 500, 1_000, 5_000, 30_000, 300_000, 3_600_000,
]);

/// How attempts and deliveries ended.
#[derive(Debug)]
pub(super) struct Outcomes {
    /// The attempts by outcome, in the order of [`OutcomeClass::ALL`].
    attempts: [Counter; OutcomeClass::ALL.len()],
    /// The deliveries by state, in the order of [`State::ALL`]; none for the open states.
    finished: [Option<Counter>; State::ALL.len()],
}

impl Outcomes {
    pub(super) fn new(names: &mut Names) -> Self {
        let attempts = names.family("posthorn_attempts", "HTTP exchanges, by outcome");
        let finished = names.family(
            "posthorn_deliveries_finished",
            "Deliveries that reached a final state, by state",
        );
        Self {
            attempts: OutcomeClass::ALL
                .map(|class| attempts.get_or_create_owned(&[("outcome", class.as_str())])),
            finished: State::ALL.map(|state| match state {
                State::Pending | State::PendingRetry => None,
                State::Delivered | State::PostingError | State::Superseded | State::Cancelled => {
                    Some(finished.get_or_create_owned(&[("state", state.as_str())]))
                }
            }),
        }
    }
}

/// What deliveries go through, from the log to their last attempt.
#[derive(Debug)]
pub(super) struct Deliveries {
    events_read: Counter,
    routed: Counter,
    first_attempt_delay: Histogram,
    attempt_duration: Histogram,
    sent_again: Counter,
    retries_planned: Counter,
}

impl Deliveries {
    pub(super) fn new(names: &mut Names) -> Self {
        Self {
            events_read: names.counter("posthorn_events_read", "Events read from the log"),
            routed: names.counter(
                "posthorn_deliveries_routed",
                "Deliveries that the events read gave rise to",
            ),
            first_attempt_delay: names.histogram(
                "posthorn_first_attempt_delay_seconds",
                "From an event's insertion to the first attempt of a delivery",
                FIRST_ATTEMPT,
            ),
            attempt_duration: names.histogram(
                "posthorn_attempt_duration_seconds",
                "How long an HTTP exchange took, body included",
                EXCHANGE,
            ),
            sent_again: names.counter(
                "posthorn_requests_sent_again",
                "Attempts whose request went out twice, as the kept connection was closed before an answer",
            ),
            retries_planned: names.counter(
                "posthorn_retries_planned",
                "Failed attempts after which another one was planned",
            ),
        }
    }
}

impl Metrics {
    /// So many events were read from the log.
    pub fn events_read(&self, n: u64) {
        self.0.deliveries.events_read.inc_by(n);
    }

    /// The events that were read gave rise to so many deliveries.
    pub fn deliveries_routed(&self, n: u64) {
        self.0.deliveries.routed.inc_by(n);
    }

    /// A delivery has its first attempt so long after its event's insertion.
    pub fn first_attempt(&self, since_event: Duration) {
        self.0.deliveries.first_attempt_delay.observe(since_event);
    }

    /// An attempt ended like this and took so long.
    pub fn attempt(&self, class: OutcomeClass, duration: Duration) {
        self.0.outcomes.attempts[class as usize].inc();
        self.0.deliveries.attempt_duration.observe(duration);
    }

    /// A request went out a second time within its attempt.
    pub fn sent_again(&self) {
        self.0.deliveries.sent_again.inc();
    }

    /// A failed attempt will be followed by another.
    pub fn retry_planned(&self) {
        self.0.deliveries.retries_planned.inc();
    }

    /// A delivery has got this state. An open state finishes nothing and is not counted.
    pub fn finished(&self, state: State) {
        if let Some(counter) = &self.0.outcomes.finished[state as usize] {
            counter.inc();
        }
    }
}
