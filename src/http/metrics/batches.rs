//! What is written of deliveries, in batches.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use super::Metrics;
use super::names::{Level, Names, millis};
use crate::http::histogram::Histogram;

/// One transaction of at most a few hundred rows.
const BATCH: &[Duration] = &millis([1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000]);

/// The recorder's batches, and the results that they could not write.
#[derive(Debug)]
pub(super) struct Batches {
    duration: Histogram,
    entries: Counter,
    unrecorded: Level,
    fenced_off: Counter,
    refused: Counter,
    conflicts: Counter,
}

impl Batches {
    pub(super) fn new(names: &mut Names) -> Self {
        Self {
            duration: names.histogram(
                "posthorn_batch_duration_seconds",
                "How long the transaction of a batch of entries took",
                BATCH,
            ),
            entries: names.counter("posthorn_batch_entries", "Entries recorded in batches"),
            unrecorded: names.level(
                "posthorn_deliveries_unrecorded",
                "Entries that are not recorded yet",
            ),
            fenced_off: names.counter(
                "posthorn_fenced_off",
                "Entries that the database refused because the shard has another owner now",
            ),
            refused: names.counter(
                "posthorn_entries_refused",
                "Entries of deliveries that the database refused to record as they were",
            ),
            conflicts: names.counter(
                "posthorn_ledger_conflicts",
                "Entries of deliveries that the ledger holds as final already",
            ),
        }
    }
}

impl Metrics {
    /// A batch of so many entries was written and took so long.
    pub fn batch_written(&self, entries: u64, took: Duration) {
        self.0.batches.entries.inc_by(entries);
        self.0.batches.duration.observe(took);
    }

    /// So many results are not in the database yet.
    pub fn set_unrecorded(&self, n: usize) {
        self.0.batches.unrecorded.set(n as u64);
    }

    /// So many entries were left out because their shard has another owner now.
    pub fn fenced_off(&self, entries: u64) {
        self.0.batches.fenced_off.inc_by(entries);
    }

    /// The database refused an entry as it was.
    pub fn entry_refused(&self) {
        self.0.batches.refused.inc();
    }

    /// The ledger held so many results as final already.
    pub fn ledger_conflicts(&self, n: u64) {
        self.0.batches.conflicts.inc_by(n);
    }
}
