//! What the loops tell the metrics.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Metrics;
use crate::model::{OutcomeClass, State};

impl Metrics {
    /// Counts events that were read from the log.
    pub fn events_read(&self, n: u64) {
        self.0.events_read.inc_by(n);
    }

    /// Counts deliveries that the events read gave rise to.
    pub fn deliveries_routed(&self, n: u64) {
        self.0.deliveries_routed.inc_by(n);
    }

    /// Counts the wait before a delivery's first attempt, from the event's insertion.
    pub fn first_attempt(&self, since_event: Duration) {
        self.0.first_attempt_delay.observe(since_event);
    }

    /// Counts an HTTP exchange, by its outcome and how long it took.
    pub fn attempt(&self, class: OutcomeClass, duration: Duration) {
        self.0.attempts[class as usize].inc();
        self.0.attempt_duration.observe(duration);
    }

    /// Counts an attempt whose request went out twice.
    pub fn sent_again(&self) {
        self.0.sent_again.inc();
    }

    /// Counts a failed attempt after which another one was planned.
    pub fn retry_planned(&self) {
        self.0.retries_planned.inc();
    }

    /// Counts a delivery that reached a final state; an open state finishes nothing and is not
    /// counted.
    pub fn finished(&self, state: State) {
        if let Some(counter) = &self.0.finished[state as usize] {
            counter.inc();
        }
    }

    /// Notes how many deliveries wait in this worker's memory, and the bytes of event data that it
    /// holds.
    pub fn set_queued(&self, deliveries: usize, bytes: usize) {
        self.0.queued.set(deliveries as u64);
        self.0.queued_bytes.set(bytes as u64);
    }

    /// Notes how many requests are in the air.
    pub fn set_in_flight(&self, n: usize) {
        self.0.in_flight.set(n as u64);
    }

    /// Counts a request that left although as many as its subscription allows were in the air.
    pub fn over_limit(&self) {
        self.0.over_limit.inc();
    }

    /// Notes how many rows of `posthorn.pending_deliveries` the shards have that this worker owns.
    pub fn set_waiting(&self, rows: u64) {
        self.0.waiting.set(rows);
    }

    /// Counts deliveries that moved from memory to `posthorn.pending_deliveries`.
    pub fn spilled(&self, n: u64) {
        self.0.spilled.inc_by(n);
    }

    /// Counts deliveries that came back from `posthorn.pending_deliveries` to memory.
    pub fn refilled(&self, n: u64) {
        self.0.refilled.inc_by(n);
    }

    /// Notes how many endpoints have said that they take nothing now.
    pub fn set_told_to_wait(&self, n: usize) {
        self.0.told_to_wait.set(n as u64);
    }

    /// Notes how many subscriptions get only probes after repeated failures.
    pub fn set_breakers_open(&self, n: usize) {
        self.0.breakers_open.set(n as u64);
    }

    /// Counts a batch of results, and how long its transaction took.
    pub fn batch_written(&self, entries: u64, took: Duration) {
        self.0.batch_entries.inc_by(entries);
        self.0.batch_duration.observe(took);
    }

    /// Notes how many results are not in the database yet.
    pub fn set_unrecorded(&self, n: usize) {
        self.0.unrecorded.set(n as u64);
    }

    /// Counts results that the database refused because the shard has another owner now.
    pub fn fenced_off(&self, entries: u64) {
        self.0.fenced_off.inc_by(entries);
    }

    /// Counts a result that the database refused to record as it was.
    pub fn entry_refused(&self) {
        self.0.entries_refused.inc();
    }

    /// Counts results of deliveries that the ledger holds as final already.
    pub fn ledger_conflicts(&self, n: u64) {
        self.0.ledger_conflicts.inc_by(n);
    }

    /// Notes how many shards this worker owns.
    pub fn set_shards_held(&self, n: usize) {
        self.0.shards_held.set(n as u64);
    }

    /// Notes how far the oldest checkpoint of the held shards lies back.
    pub fn set_checkpoint_age(&self, age: Duration) {
        self.0.checkpoint_age.set(age.as_secs_f64());
    }

    /// Counts a statement that failed or had no answer in time.
    pub fn database_error(&self) {
        self.0.database_errors.inc();
    }

    /// Notes how many subscriptions of the held shards have settings that can be used, and how many
    /// have others.
    pub fn set_subscriptions(&self, valid: usize, invalid: usize) {
        self.0.subscriptions_valid.set(valid as u64);
        self.0.subscriptions_invalid.set(invalid as u64);
    }

    /// Counts deliveries that this worker opened again for a replay.
    pub fn replayed(&self, deliveries: u64) {
        self.0.replayed.inc_by(deliveries);
    }

    /// Notes how many replays are under way in the whole database.
    pub fn set_replays(&self, n: u64) {
        self.0.replays.set(n);
    }

    /// Counts deliveries that an audit of this worker found without a row.
    pub fn audit_missing(&self, n: u64) {
        self.0.audit_missing.inc_by(n);
    }

    /// Notes when the fleet's last audit was through, whichever worker made it.
    pub fn set_audit_finished(&self, at: DateTime<Utc>) {
        self.0.audit_finished.set(unix_time(at));
    }

    /// Notes how many rows `posthorn.source_failures` has, in the whole database.
    pub fn set_source_failures(&self, rows: u64) {
        self.0.source_failures.set(rows);
    }

    /// Notes how many sources have problems, in the whole database.
    pub fn set_sources_broken(&self, sources: u64) {
        self.0.sources_broken.set(sources);
    }

    /// Notes the differences that the fleet's last comparisons found, whichever worker made them,
    /// and when; none where no source is to be compared.
    pub fn set_source_differences(&self, rows: u64, compared: Option<DateTime<Utc>>) {
        self.0.source_differences.set(rows);
        self.0.source_compared.set(compared.map_or(0.0, unix_time));
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds since 1970 are exact for a long time"
)]
fn unix_time(at: DateTime<Utc>) -> f64 {
    at.timestamp() as f64
}
