//! The log's partitions: one for each day that was made, and the default one for the rest.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Database, Stored};

/// How long a day of the model is, milliseconds: a run meets several.
const DAY: u128 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u128);

impl Day {
    /// The day of an event, by its id's time.
    pub fn of(id: Uuid) -> Self {
        Self((id.as_u128() >> 80) / DAY)
    }
}

/// What a statement that reads the log has before it has a snapshot: a lock on the log, and
/// the list of its partitions.
#[derive(Debug)]
pub struct Plan {
    days: BTreeSet<Day>,
    start: u32,
}

impl Plan {
    /// Whether the row lies where the statement looks.
    pub(super) fn reaches(&self, stored: &Stored) -> bool {
        stored.day.is_none_or(|day| self.days.contains(&day))
    }
}

impl Database {
    /// A statement that reads the log begins; [`Self::unplan`] ends it.
    pub fn plan(&mut self) -> Plan {
        self.readers += 1;
        Plan {
            days: self.days.clone(),
            start: self.start,
        }
    }

    pub(super) fn unplan(&mut self, plan: &Plan) {
        if plan.start == self.start {
            self.readers -= 1;
        }
    }

    /// Where a new row goes; none is the default partition.
    pub(super) fn day_for(&self, id: Uuid) -> Option<Day> {
        Some(Day::of(id)).filter(|day| self.days.contains(day))
    }

    /// `posthorn.make_partitions`, for the days of which the default partition has rows, in
    /// one try. False: somebody else has the log, and nothing was done.
    pub fn make_days(&mut self) -> bool {
        let of_no_day = self.events.iter().filter(|stored| stored.day.is_none());
        let missing: BTreeSet<Day> = of_no_day.map(|stored| Day::of(stored.event.id)).collect();
        if missing.is_empty() {
            return true;
        }
        // ATTACH would wait for these without `posthorn.have_alone` too.
        let is_written_to = self
            .events
            .iter()
            .any(|stored| self.running.contains(&stored.xid));
        if is_written_to {
            return false;
        }
        // `posthorn.have_alone`.
        if self.readers > 0 {
            return false;
        }
        for stored in &mut self.events {
            stored.day = Some(Day::of(stored.event.id));
        }
        self.days.extend(missing);
        self.write();
        true
    }
}
