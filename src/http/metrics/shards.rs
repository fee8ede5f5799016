//! What a worker holds of the database, and how the database answers it.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use super::Metrics;
use super::names::{Level, Names, Seconds};

/// The held shards, how far they have been read, and the statements that failed.
#[derive(Debug)]
pub(super) struct Shards {
    held: Level,
    checkpoint_age: Seconds,
    database_errors: Counter,
}

impl Shards {
    pub(super) fn new(names: &mut Names) -> Self {
        Self {
            held: names.level("posthorn_shards_held", "Shards that this worker owns"),
            checkpoint_age: names.seconds(
                "posthorn_checkpoint_age_seconds",
                "How far the oldest checkpoint of the held shards lies back",
            ),
            database_errors: names.counter(
                "posthorn_database_errors",
                "Statements that failed or had no answer in time",
            ),
        }
    }
}

impl Metrics {
    /// This worker owns so many shards.
    pub fn set_shards_held(&self, n: usize) {
        self.0.shards.held.set(n as u64);
    }

    /// The oldest checkpoint among the held shards lies so far back.
    pub fn set_checkpoint_age(&self, age: Duration) {
        self.0.shards.checkpoint_age.set(age.as_secs_f64());
    }

    /// A statement failed or had no answer in time.
    pub fn database_error(&self) {
        self.0.shards.database_errors.inc();
    }
}
