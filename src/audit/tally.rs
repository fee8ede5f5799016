//! What is counted, for each merchant and day. Pure.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::model::State;

/// How many deliveries came to what; replays are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// How many events were looked at.
    pub events: u64,
    /// How many deliveries there should be: those that have a row, are missing, or are unsettled.
    pub expected: u64,
    /// How many deliveries succeeded.
    pub delivered: u64,
    /// How many deliveries are open and have a row.
    pub waiting: u64,
    /// How many deliveries ended without success.
    pub posting_errors: u64,
    /// How many deliveries a newer event took the place of.
    pub superseded: u64,
    /// How many deliveries were withdrawn.
    pub cancelled: u64,
    /// How many deliveries were wanted, of events that were read, and have no row. Must be 0.
    pub missing: u64,
    /// How many of the missing deliveries were given a row now.
    pub repaired: u64,
    /// How many deliveries were wanted, of events that a worker has not read to the end yet.
    pub unsettled: u64,
    /// How many deliveries have no row, and the settings changed at the event's moment.
    pub undecided: u64,
    /// How many answers of success came beyond a delivery's first.
    pub repeated: u64,
}

impl Counts {
    /// Counts one more delivery that is in this state.
    pub fn count(&mut self, state: State) {
        self.expected += 1;
        *match state {
            State::Pending | State::PendingRetry => &mut self.waiting,
            State::Delivered => &mut self.delivered,
            State::PostingError => &mut self.posting_errors,
            State::Superseded => &mut self.superseded,
            State::Cancelled => &mut self.cancelled,
        } += 1;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        let Self {
            events,
            expected,
            delivered,
            waiting,
            posting_errors,
            superseded,
            cancelled,
            missing,
            repaired,
            unsettled,
            undecided,
            repeated,
        } = more;
        self.events += events;
        self.expected += expected;
        self.delivered += delivered;
        self.waiting += waiting;
        self.posting_errors += posting_errors;
        self.superseded += superseded;
        self.cancelled += cancelled;
        self.missing += missing;
        self.repaired += repaired;
        self.unsettled += unsettled;
        self.undecided += undecided;
        self.repeated += repeated;
    }
}

/// One merchant's counts of one day of events, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The day of the events.
    pub day: NaiveDate,
    /// The merchant.
    pub merchant: Box<str>,
    /// What became of the deliveries.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The counts of the day that is being read. Events come by id, so by time: a day is over when the
/// next one begins, and no more than one is held.
#[derive(Debug, Default)]
pub struct Tally {
    day: NaiveDate,
    merchants: BTreeMap<Box<str>, Counts>,
}

impl Tally {
    /// The counts of a merchant on the event's day; the lines of an earlier day go to `out`.
    pub fn at(&mut self, event: Uuid, merchant: &str, out: &mut Vec<Line>) -> &mut Counts {
        let day = day_of(event);
        if day != self.day {
            self.finish(out);
            self.day = day;
        }
        self.merchants.entry(merchant.into()).or_default()
    }

    /// Ends the day that is being read; its lines go to `out`.
    pub fn finish(&mut self, out: &mut Vec<Line>) {
        let day = self.day;
        let lines = std::mem::take(&mut self.merchants).into_iter();
        out.extend(lines.map(|(merchant, counts)| Line {
            day,
            merchant,
            counts,
        }));
    }
}

/// The day in an id of version 7; the first of all days for an id of another version.
#[must_use]
pub fn day_of(id: Uuid) -> NaiveDate {
    time_of(id).date_naive()
}

/// The time in an id of version 7; the first of all times for an id of another version.
#[must_use]
pub fn time_of(id: Uuid) -> DateTime<Utc> {
    let millis = i64::try_from(id.as_u128() >> 80).unwrap_or(0);
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::first_id_at;
    use crate::model::samples::time;

    #[test]
    fn a_day_is_told_when_the_next_one_begins() {
        let mut tally = Tally::default();
        let mut lines = Vec::new();
        for (at, merchant) in [
            ("2026-03-01T10:00:00Z", "b"),
            ("2026-03-01T23:59:59.999Z", "a"),
            ("2026-03-02T00:00:00Z", "a"),
        ] {
            let id = first_id_at(time(at));
            tally.at(id, merchant, &mut lines).events += 1;
        }
        let told = |lines: &[Line]| -> Vec<String> {
            let told = lines.iter();
            told.map(|line| format!("{} {} {}", line.day, line.merchant, line.counts.events))
                .collect()
        };
        assert_eq!(told(&lines), ["2026-03-01 a 1", "2026-03-01 b 1"]);
        tally.finish(&mut lines);
        assert_eq!(told(&lines[2..]), ["2026-03-02 a 1"]);
    }
}
