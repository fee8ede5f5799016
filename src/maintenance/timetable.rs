//! When maintenance runs next; without I/O.

use chrono::{DateTime, TimeDelta, Utc};
use cron::Schedule;

/// How long to wait after a run that failed. Long enough for a database that is away not to be
/// bothered, short enough for a missing partition not to matter: rows go to the default partition
/// meanwhile.
const AFTER_FAILURE: TimeDelta = TimeDelta::minutes(1);

/// The first time to run after `now`: of the schedule if the last run worked, else a minute from
/// now or the schedule's, whichever comes first. None: the schedule has ended.
pub fn next_run(schedule: &Schedule, now: DateTime<Utc>, worked: bool) -> Option<DateTime<Utc>> {
    let scheduled = schedule.after(&now).next();
    let again = (!worked).then(|| now + AFTER_FAILURE);
    scheduled.into_iter().chain(again).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_worked_waits_for_the_schedule_and_one_that_failed_for_a_minute() {
        const HOURLY: &str = "0 5 * * * *";
        const NIGHTLY: &str = "0 30 2 * * *";
        const ENDED: &str = "0 0 0 1 1 * 2020";
        for (schedule, now, worked, expected) in [
            (
                HOURLY,
                "2026-03-01T12:00:00Z",
                true,
                Some("2026-03-01T12:05:00Z"),
            ),
            (
                HOURLY,
                "2026-03-01T12:04:59.999Z",
                true,
                Some("2026-03-01T12:05:00Z"),
            ),
            // A run at its very time, or a moment after it, is not repeated.
            (
                HOURLY,
                "2026-03-01T12:05:00Z",
                true,
                Some("2026-03-01T13:05:00Z"),
            ),
            (
                HOURLY,
                "2026-03-01T12:05:00.001Z",
                true,
                Some("2026-03-01T13:05:00Z"),
            ),
            (
                NIGHTLY,
                "2026-02-28T23:59:00Z",
                true,
                Some("2026-03-01T02:30:00Z"),
            ),
            (
                NIGHTLY,
                "2026-03-01T02:30:05Z",
                false,
                Some("2026-03-01T02:31:05Z"),
            ),
            (
                NIGHTLY,
                "2026-03-01T02:29:30Z",
                false,
                Some("2026-03-01T02:30:00Z"),
            ),
            (ENDED, "2026-03-01T12:00:00Z", true, None),
            (
                ENDED,
                "2026-03-01T12:00:00Z",
                false,
                Some("2026-03-01T12:01:00Z"),
            ),
        ] {
            assert_eq!(
                next_run(&schedule.parse().unwrap(), now.parse().unwrap(), worked),
                expected.map(|time| time.parse().unwrap()),
                "{schedule} at {now}, worked: {worked}"
            );
        }
    }

    #[test]
    fn a_database_that_is_away_is_asked_each_minute_until_it_is_back() {
        let schedule = "0 0 3 * * *".parse().unwrap();
        let mut now = "2026-03-01T03:00:00Z".parse().unwrap();
        for minute in 1..=90 {
            now = next_run(&schedule, now, false).unwrap();
            assert_eq!(
                now.to_rfc3339(),
                format!(
                    "2026-03-01T{:02}:{:02}:00+00:00",
                    3 + minute / 60,
                    minute % 60
                )
            );
        }
        let back = next_run(&schedule, now, true).unwrap();
        assert_eq!(back.to_rfc3339(), "2026-03-02T03:00:00+00:00");
    }
}
