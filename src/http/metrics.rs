//! Every metric of Posthorn, by name. `docs/METRICS.md` explains them to operators.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

mod counting;
mod gateway;
mod names;

use super::histogram::Histogram;
use crate::model::{OutcomeClass, State};
pub use gateway::{Channel, Count, GatewayMetrics, Sent};
use names::{Level, Names, millis};

/// A time or a span in seconds that goes up and down.
type Seconds = Gauge<f64, AtomicU64>;

/// The bounds of an exchange's duration: from a receiver on the same machine to the longest timeout
/// that makes sense.
const EXCHANGE: &[Duration] = &millis([
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000,
]);

/// The bounds of the wait before the first attempt: finer around the 20 ms that an idle lane should
/// take, and up to a backlog's hours.
const FIRST_ATTEMPT: &[Duration] = &millis([
    2, 5, 10, 15, 20, 30, 50, 100, 200, 500, 1_000, 5_000, 30_000, 300_000, 3_600_000,
]);

/// The bounds of a batch's duration: one transaction of at most a few hundred rows.
const BATCH: &[Duration] = &millis([1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000]);

/// What the loops count, and `/metrics` shows. Each call is one or two atomic
/// operations: the label values are few, fixed and resolved once.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,

    events_read: Counter,
    deliveries_routed: Counter,
    first_attempt_delay: Histogram,
    /// The attempts, in the order of [`OutcomeClass::ALL`].
    attempts: [Counter; OutcomeClass::ALL.len()],
    attempt_duration: Histogram,
    sent_again: Counter,
    retries_planned: Counter,
    /// The deliveries that finished, in the order of [`State::ALL`]; none for the open states.
    finished: [Option<Counter>; State::ALL.len()],

    queued: Level,
    queued_bytes: Level,
    in_flight: Level,
    over_limit: Counter,
    waiting: Level,
    spilled: Counter,
    refilled: Counter,
    breakers_open: Level,
    told_to_wait: Level,

    batch_duration: Histogram,
    batch_entries: Counter,
    unrecorded: Level,
    fenced_off: Counter,
    ledger_conflicts: Counter,
    entries_refused: Counter,

    shards_held: Level,
    checkpoint_age: Seconds,
    database_errors: Counter,
    subscriptions_valid: Level,
    subscriptions_invalid: Level,

    gateway: GatewayMetrics,
    source_failures: Level,
    sources_broken: Level,
    source_differences: Level,
    source_compared: Seconds,
    replayed: Counter,
    replays: Level,
    audit_missing: Counter,
    audit_finished: Seconds,
}

impl Metrics {
    /// Counts nothing yet.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "it is one list")]
    pub fn new() -> Self {
        let mut names = Names::default();
        let attempts = names.family("posthorn_attempts", "HTTP exchanges, by outcome");
        let finished = names.family(
            "posthorn_deliveries_finished",
            "Deliveries that reached a final state, by state",
        );
        let subscriptions = names.family(
            "posthorn_subscriptions",
            "Subscriptions of the held shards, by whether their settings can be used",
        );
        let settings = |value| subscriptions.get_or_create_owned(&[("settings", value)]);
        Self(Arc::new(Inner {
            events_read: names.counter("posthorn_events_read", "Events read from the log"),
            deliveries_routed: names.counter(
                "posthorn_deliveries_routed",
                "Deliveries that the events read gave rise to",
            ),
            first_attempt_delay: names.histogram(
                "posthorn_first_attempt_delay_seconds",
                "From an event's insertion to the first attempt of a delivery",
                FIRST_ATTEMPT,
            ),
            attempts: OutcomeClass::ALL
                .map(|class| attempts.get_or_create_owned(&[("outcome", class.as_str())])),
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
            finished: State::ALL.map(|state| match state {
                State::Pending | State::PendingRetry => None,
                State::Delivered | State::PostingError | State::Superseded | State::Cancelled => {
                    Some(finished.get_or_create_owned(&[("state", state.as_str())]))
                }
            }),
            queued: names.level(
                "posthorn_deliveries_queued",
                "Deliveries that wait in this worker's memory",
            ),
            queued_bytes: names.level(
                "posthorn_queued_bytes",
                "Event data that this worker holds in memory, in bytes",
            ),
            in_flight: names.level("posthorn_deliveries_in_flight", "Requests in the air"),
            over_limit: names.counter(
                "posthorn_in_flight_over_limit",
                "Requests that left although max_in_flight of their subscription were in the air",
            ),
            waiting: names.level(
                "posthorn_deliveries_waiting",
                "Rows of posthorn.pending_deliveries in the held shards",
            ),
            spilled: names.counter(
                "posthorn_deliveries_spilled",
                "Deliveries moved from memory to posthorn.pending_deliveries",
            ),
            refilled: names.counter(
                "posthorn_deliveries_refilled",
                "Deliveries taken back from posthorn.pending_deliveries to memory",
            ),
            breakers_open: names.level(
                "posthorn_breakers_open",
                "Subscriptions that get only probes after repeated failures",
            ),
            told_to_wait: names.level(
                "posthorn_endpoints_told_to_wait",
                "Subscriptions whose endpoint has said, with 429 or 503 and Retry-After, that it takes nothing now",
            ),
            batch_duration: names.histogram(
                "posthorn_batch_duration_seconds",
                "How long the transaction of a batch of results took",
                BATCH,
            ),
            batch_entries: names.counter("posthorn_batch_entries", "Results written in batches"),
            unrecorded: names.level(
                "posthorn_deliveries_unrecorded",
                "Results that are not in the database yet",
            ),
            fenced_off: names.counter(
                "posthorn_fenced_off",
                "Results that the database refused because the shard has another owner now",
            ),
            entries_refused: names.counter(
                "posthorn_entries_refused",
                "Results of deliveries that the database refused to record as they were",
            ),
            ledger_conflicts: names.counter(
                "posthorn_ledger_conflicts",
                "Results of deliveries that the ledger holds as final already",
            ),
            shards_held: names.level("posthorn_shards_held", "Shards that this worker owns"),
            checkpoint_age: names.is(
                "posthorn_checkpoint_age_seconds",
                "How far the oldest checkpoint of the held shards lies back",
                &Seconds::default(),
            ),
            database_errors: names.counter(
                "posthorn_database_errors",
                "Statements that failed or had no answer in time",
            ),
            subscriptions_valid: settings("valid"),
            subscriptions_invalid: settings("invalid"),
            gateway: GatewayMetrics::new(&mut names),
            source_failures: names.level(
                "posthorn_source_failures",
                "Changes of source tables that became no event: rows of posthorn.source_failures",
            ),
            sources_broken: names.level(
                "posthorn_sources_broken",
                "Sources with a table whose changes make no events, or fail, in the whole database",
            ),
            source_differences: names.level(
                "posthorn_source_differences",
                "Rows of the sources' tables whose status is not the one that was told last, by the last comparisons",
            ),
            source_compared: names.is(
                "posthorn_source_compared_timestamp_seconds",
                "When the source that has waited longest was compared with its events, or attached, in Unix time; 0: none is to be compared",
                &Seconds::default(),
            ),
            replayed: names.counter(
                "posthorn_deliveries_replayed",
                "Deliveries that this worker opened again for a replay",
            ),
            replays: names.level(
                "posthorn_replays",
                "Replays under way, in the whole database",
            ),
            audit_missing: names.counter(
                "posthorn_audit_missing",
                "Deliveries that a scheduled audit found without a row and opened again",
            ),
            audit_finished: names.is(
                "posthorn_audit_finished_timestamp_seconds",
                "When the fleet's last scheduled audit was through, or the schema was made, in Unix time",
                &Seconds::default(),
            ),
            registry: names.into_registry(),
        }))
    }

    /// Writes all of it in the `OpenMetrics` text format, version 1.0.0.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail, and no metric here refuses to be encoded.
        let _ = encode(&mut text, &self.0.registry);
        text
    }

    /// The part that the gateway counts.
    #[must_use]
    pub fn gateway(&self) -> &GatewayMetrics {
        &self.0.gateway
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
