//! Which daily partitions a window can leave out. Without I/O.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::model::Snapshot;
use crate::model::event::first_id_at;

/// How long after midnight a day is taken to be over: for clocks that step back.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// A day's partition is closed: ids are made from the clock at the insert, so only
/// transactions that ran when the day ended can still write to it. Once a window begins
/// after all of those, it needs no row from there.
#[derive(Debug, Default)]
pub struct Floor {
    /// The first id of a day, and the snapshot limit below which transactions may have
    /// written before it. Oldest first; two at most.
    days: Vec<(Uuid, u64)>,
}

impl Floor {
    /// Notes the time at a snapshot.
    pub fn pass(&mut self, now: DateTime<Utc>, snapshot: &Snapshot) {
        let first = first_id_of_day(now - MARGIN);
        if self.days.last().is_none_or(|(day, _)| *day < first) {
            self.days.push((first, snapshot.xmax));
        }
        if self.days.len() > 1 && snapshot.xmin >= self.days[1].1 {
            self.days.remove(0);
        }
    }

    /// The least id that a window from this snapshot has to look at.
    #[must_use]
    pub fn for_window(&self, from: &Snapshot) -> Uuid {
        let closed = self
            .days
            .iter()
            .rev()
            .find(|(_, limit)| from.xmin >= *limit);
        closed.map_or(Uuid::nil(), |(day, _)| *day)
    }
}

fn first_id_of_day(moment: DateTime<Utc>) -> Uuid {
    let midnight = moment.date_naive().and_time(NaiveTime::MIN).and_utc();
    debug_assert!(midnight <= moment && moment < midnight + Days::new(1));
    first_id_at(midnight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn snapshot(xmin: u64, xmax: u64) -> Snapshot {
        Snapshot {
            xmin,
            xmax,
            running: if xmin < xmax { vec![xmin] } else { vec![] },
        }
    }

    #[test]
    fn yesterday_is_read_until_all_that_ran_at_its_end_has_finished() {
        let mut floor = Floor::default();
        floor.pass(at("2026-11-21T00:30:00Z"), &snapshot(5, 9));
        let friday = first_id_at(at("2026-11-20T00:00:00Z"));
        let saturday = first_id_at(at("2026-11-21T00:00:00Z"));
        assert_eq!(
            floor.for_window(&snapshot(5, 9)),
            Uuid::nil(),
            "an old writer is about"
        );
        assert_eq!(
            floor.for_window(&snapshot(9, 12)),
            friday,
            "half past midnight is too soon"
        );

        floor.pass(at("2026-11-21T01:00:00Z"), &snapshot(20, 30));
        assert_eq!(
            floor.for_window(&snapshot(20, 40)),
            friday,
            "20 may still write to Friday"
        );
        assert_eq!(floor.for_window(&snapshot(30, 40)), saturday);
        assert_eq!(
            floor.for_window(&snapshot(3, 40)),
            Uuid::nil(),
            "a window from long ago"
        );
    }
}
