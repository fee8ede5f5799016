//! What is amiss with sources, in the whole database.

use chrono::{DateTime, Utc};

use super::Metrics;
use super::names::{Level, Names, Seconds, unix_time};

/// Changes that became no event, and tables that differ from what was told.
#[derive(Debug)]
pub(super) struct Sources {
    failures: Level,
    broken: Level,
    differences: Level,
    compared: Seconds,
}

impl Sources {
    pub(super) fn new(names: &mut Names) -> Self {
        Self {
            failures: names.level(
                "posthorn_source_failures",
                "Changes of source tables that became no event: rows of posthorn.source_failures",
            ),
            broken: names.level(
                "posthorn_sources_broken",
                "Sources with a table whose changes make no events, or fail, in the whole database",
            ),
            differences: names.level(
                "posthorn_source_differences",
                "Rows of the sources' tables whose status is not the one that was told last, by the last comparisons",
            ),
            compared: names.seconds(
                "posthorn_source_compared_timestamp_seconds",
                "When the source that has waited longest was compared with its events, or attached, in Unix time; 0: none is to be compared",
            ),
        }
    }
}

impl Metrics {
    /// The whole database has so many rows of `posthorn.source_failures`.
    pub fn set_source_failures(&self, rows: u64) {
        self.0.sources.failures.set(rows);
    }

    /// The changes of so many sources make no events, in the whole database.
    pub fn set_sources_broken(&self, sources: u64) {
        self.0.sources.broken.set(sources);
    }

    /// The fleet's last comparisons found so many differing rows, and the source that has
    /// waited longest was compared then; none: no source is to be compared.
    pub fn set_source_differences(&self, rows: u64, compared: Option<DateTime<Utc>>) {
        self.0.sources.differences.set(rows);
        self.0.sources.compared.set(compared.map_or(0.0, unix_time));
    }
}
