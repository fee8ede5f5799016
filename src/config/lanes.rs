//! `[lanes]`: what the lanes of one worker may hold, and when they hold back.

use std::time::Duration;

use super::document::Section;
use crate::model::settings::duration_text;

/// What a worker holds in memory, and how it treats endpoints that fail: the section `[lanes]`.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// The most deliveries in memory, over all lanes.
    pub memory_deliveries: usize,
    /// The most bytes of event data in memory, over all lanes.
    pub memory_bytes: usize,
    /// How long a delivery may wait in memory before it moves to `posthorn.pending_deliveries`.
    pub spill_after: Duration,
    /// How many failures in a row open a lane's breaker.
    pub breaker_failures: u32,
    /// The wait between two probes of an open breaker at first.
    pub probe_interval_min: Duration,
    /// The longest wait between two probes of an open breaker.
    pub probe_interval_max: Duration,
    /// The most requests in the air, over all lanes of the worker.
    pub max_in_flight_total: usize,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            memory_deliveries: 16_384,
            memory_bytes: 67_108_864,
            spill_after: Duration::from_secs(2),
            breaker_failures: 10,
            probe_interval_min: Duration::from_millis(100),
            probe_interval_max: Duration::from_secs(2),
            max_in_flight_total: 10_000,
        }
    }
}

impl Lanes {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        const MILLISECOND: Duration = Duration::from_millis(1);
        const HOUR: Duration = Duration::from_hours(1);
        let default = Self::default();
        let lanes = Self {
            memory_deliveries: section
                .whole("memory_deliveries", 100..=10_000_000)
                .unwrap_or(default.memory_deliveries),
            // One event of the largest size that [worker] allows must fit.
            memory_bytes: section
                .whole("memory_bytes", 1_048_576..=68_719_476_736)
                .unwrap_or(default.memory_bytes),
            spill_after: section
                .duration("spill_after", 10 * MILLISECOND..=HOUR)
                .unwrap_or(default.spill_after),
            breaker_failures: section
                .whole("breaker_failures", 1..=1_000_000)
                .unwrap_or(default.breaker_failures),
            probe_interval_min: section
                .duration("probe_interval_min", MILLISECOND..=HOUR)
                .unwrap_or(default.probe_interval_min),
            probe_interval_max: section
                .duration("probe_interval_max", MILLISECOND..=HOUR)
                .unwrap_or(default.probe_interval_max),
            max_in_flight_total: section
                .whole("max_in_flight_total", 1..=1_000_000)
                .unwrap_or(default.max_in_flight_total),
        };
        if lanes.probe_interval_min > lanes.probe_interval_max {
            section.refuse(
                "probe_interval_min",
                format!(
                    "{} is more than probe_interval_max, {}; give at most that, or raise probe_interval_max",
                    duration_text(&lanes.probe_interval_min),
                    duration_text(&lanes.probe_interval_max)
                ),
            );
        }
        lanes
    }
}
