//! What is counted, for each merchant and day. Pure.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::model::State;

/// The counts of deliveries; replays do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub events: u64,
    /// Deliveries that there should be: those that have a row, missing and in flight.
    pub expected: u64,
    pub delivered: u64,
    /// Open, with a row.
    pub waiting: u64,
    pub posting_errors: u64,
    pub superseded: u64,
    pub cancelled: u64,
    /// Wanted and read, but without a row. Must be 0.
    pub missing: u64,
    /// Of the missing: those that were given a row now.
    pub repaired: u64,
    /// Wanted, but a worker has not read the event to the end yet.
    pub in_flight: u64,
    /// Without a row, and the settings changed at the event's moment.
    pub undecided: u64,
    /// Answers of success beyond a delivery's first.
    pub repeated: u64,
}

impl Counts {
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
            in_flight,
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
        self.in_flight += in_flight;
        self.undecided += undecided;
        self.repeated += repeated;
    }
}

/// One merchant's counts of one day of events, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub day: NaiveDate,
    pub merchant: Box<str>,
    #[serde(flatten)]
    pub counts: Counts,
}

/// The counts of the day that is being read. Events come by id, so by time: a day is over
/// when the next one begins, and no more than one is held.
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

/// The day in an id of version 7; the first of all days for another one.
#[must_use]
pub fn day_of(id: Uuid) -> NaiveDate {
    time_of(id).date_naive()
}

/// The time in an id of version 7; the first of all times for another one.
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
