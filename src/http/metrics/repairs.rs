//! What is opened again: by people's replays, and by audits.

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;

use super::Metrics;
use super::names::{Level, Names, Seconds, unix_time};

/// Replays and scheduled audits.
#[derive(Debug)]
pub(super) struct Repairs {
    replayed: Counter,
    replays: Level,
    audit_missing: Counter,
    audit_finished: Seconds,
}

impl Repairs {
    pub(super) fn new(names: &mut Names) -> Self {
        Self {
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
            audit_finished: names.seconds(
                "posthorn_audit_finished_timestamp_seconds",
                "When the fleet's last scheduled audit was through, or the schema was made, in Unix time",
            ),
        }
    }
}

impl Metrics {
    /// This worker opened so many deliveries again for a replay.
    pub fn replayed(&self, deliveries: u64) {
        self.0.repairs.replayed.inc_by(deliveries);
    }

    /// So many replays are under way in the whole database.
    pub fn set_replays(&self, n: u64) {
        self.0.repairs.replays.set(n);
    }

    /// An audit of this worker found so many deliveries without a row.
    pub fn audit_missing(&self, n: u64) {
        self.0.repairs.audit_missing.inc_by(n);
    }

    /// The fleet's last audit was through then, whichever worker made it.
    pub fn set_audit_finished(&self, at: DateTime<Utc>) {
        self.0.repairs.audit_finished.set(unix_time(at));
    }
}
