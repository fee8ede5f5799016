//! `[maintenance]`: when partitions are made and dropped, and payloads purged.

use cron::Schedule;

use super::document::Section;
use super::value;

#[derive(Clone, Debug)]
pub struct Maintenance {
    /// Seconds, minutes, hours, day of month, month, day of week; UTC.
    pub schedule: Schedule,
    /// Days for which partitions are made ahead of time.
    pub partitions_ahead_days: u16,
    /// Days after which a partition without open deliveries is dropped.
    pub retention_days: u16,
    /// Days after which payloads are purged, if before that.
    pub payload_days: Option<u16>,
}

impl Default for Maintenance {
    #[expect(
        clippy::expect_used,
        reason = "the text is constant, and a test reads it"
    )]
    fn default() -> Self {
        Self {
            // Each hour, so that a missed run or two is of no account; past the full
            // hour, when everything else runs.
            schedule: "0 5 * * * *".parse().expect("a legal expression"),
            partitions_ahead_days: 7,
            retention_days: 30,
            payload_days: None,
        }
    }
}

impl Maintenance {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            schedule: section
                .read("schedule", |found| {
                    value::text(found)?.parse().map_err(|_| {
                        "text that is not a cron expression; give six fields, seconds first, \
                         such as \"0 5 * * * *\" for five past each hour"
                            .to_owned()
                    })
                })
                .unwrap_or(default.schedule),
            partitions_ahead_days: section
                .whole("partitions_ahead_days", 1..=90)
                .unwrap_or(default.partitions_ahead_days),
            retention_days: section
                .whole("retention_days", 1..=3_650)
                .unwrap_or(default.retention_days),
            payload_days: section.whole("payload_days", 1..=3_650),
        }
    }
}
