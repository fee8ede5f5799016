//! `[maintenance]`: when partitions are made and dropped, payloads purged, days sealed,
//! deliveries audited, and the tables of sources compared with their events.

use std::time::Duration;

use cron::Schedule;

use super::database::{self, DatabaseUrl};
use super::document::Section;
use super::value;

const DAY: Duration = Duration::from_hours(24);

/// When the database is maintained, and what it keeps: the section `[maintenance]`.
#[derive(Clone, Debug)]
pub struct Maintenance {
    /// When it runs: seconds, minutes, hours, day of month, month, day of week; in UTC.
    pub schedule: Schedule,
    /// For how many days partitions are made ahead of time.
    pub partitions_ahead_days: u16,
    /// After how many days a partition without open deliveries is dropped.
    pub retention_days: u16,
    /// After how many days payloads are purged, if before that.
    pub payload_days: Option<u16>,
    /// When events are compared with their deliveries; the form is `schedule`'s.
    pub audit_schedule: Schedule,
    /// How far back the audit looks.
    pub audit_window: Duration,
    /// When the tables of sources are compared with their events; the form is `schedule`'s.
    pub compare_schedule: Schedule,
    /// How the tables are read: a URL for each role that reads some.
    pub compare_urls: Vec<DatabaseUrl>,
}

impl Default for Maintenance {
    #[expect(
        clippy::expect_used,
        reason = "the texts are constant, and a test reads them"
    )]
    fn default() -> Self {
        Self {
            // Each hour, so that a missed run or two is of no account; past the full
            // hour, when everything else runs.
            schedule: "0 5 * * * *".parse().expect("a legal expression"),
            partitions_ahead_days: 7,
            retention_days: 30,
            payload_days: None,
            // At night; each of the last two days is looked at twice, so that one run may
            // fall out.
            audit_schedule: "0 35 3 * * *".parse().expect("a legal expression"),
            audit_window: 2 * DAY,
            compare_schedule: "0 15 4 * * *".parse().expect("a legal expression"),
            compare_urls: vec![],
        }
    }
}

impl Maintenance {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            schedule: cron(section, "schedule").unwrap_or(default.schedule),
            partitions_ahead_days: section
                .whole("partitions_ahead_days", 1..=90)
                .unwrap_or(default.partitions_ahead_days),
            retention_days: section
                .whole("retention_days", 1..=3_650)
                .unwrap_or(default.retention_days),
            payload_days: section.whole("payload_days", 1..=3_650),
            audit_schedule: cron(section, "audit_schedule").unwrap_or(default.audit_schedule),
            audit_window: section
                .duration("audit_window", DAY / 24..=30 * DAY)
                .unwrap_or(default.audit_window),
            compare_schedule: cron(section, "compare_schedule").unwrap_or(default.compare_schedule),
            compare_urls: section
                .list("compare_urls", |found| database::url(value::text(found)?))
                .unwrap_or_default(),
        }
    }
}

fn cron(section: &mut Section<'_>, key: &'static str) -> Option<Schedule> {
    section.read(key, |found| {
        value::text(found)?.parse().map_err(|_| {
            "text that is not a cron expression; give six fields, seconds first, \
             such as \"0 5 * * * *\" for five past each hour"
                .to_owned()
        })
    })
}
