//! What a lane knows of its deliveries that wait in the database. Without I/O.
//!
//! Only the time of the next one is kept, not the deliveries: memory does not grow with
//! the backlog (invariant 6).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::flow::input::RecordedKind;
use crate::model::DeliveryKey;

/// How soon to look again for rows that are counted and were not found while entries of theirs
/// were on their way: by then these are written.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Shelf {
    /// Rows that are not in memory too, and when the next is due.
    rows: u64,
    next_due: Option<Instant>,
    /// The same of replays. They are counted apart, because nothing waits for them.
    replays: u64,
    next_replay: Option<Instant>,
    /// Rows are due that found no room: what is fresh queues up behind them.
    behind: bool,
    refill: Option<Refill>,
    /// Rows that the recorder is about to change or remove; true once it has, while a
    /// refill that may have read them before is still under way.
    changing: HashMap<DeliveryKey, bool>,
    /// Entries handed to the recorder and not yet written.
    unrecorded: usize,
}

/// So many deliveries, and so many replays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    pub deliveries: usize,
    pub replays: usize,
}

impl Rows {
    pub const fn add(&mut self, key: DeliveryKey) {
        if key.is_replay() {
            self.replays += 1;
        } else {
            self.deliveries += 1;
        }
    }
}

/// When the next one is due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Due {
    pub deliveries: Option<Instant>,
    pub replays: Option<Instant>,
}

#[derive(Debug)]
struct Refill {
    asked: Rows,
    /// Whether it passed over rows that are in memory: behind them others may wait.
    passes_over: bool,
    /// Whether something was shelved while it ran.
    shelved_since: bool,
    /// Whether what it finds is to stay where it is.
    spoiled: bool,
}

impl Shelf {
    /// The database was asked what waits: so many rows, the first due then. Rows that are
    /// in memory too count here; the next refill that finds nothing more sets that right.
    pub fn found(&mut self, rows: u64, due: Instant) {
        self.rows = self.rows.max(rows);
        self.next_due = Some(earlier(self.next_due, due));
    }

    pub fn found_replays(&mut self, rows: u64, due: Instant) {
        self.replays = self.replays.max(rows);
        self.next_replay = Some(earlier(self.next_replay, due));
    }

    /// No replay of the lane was found, but for what is on its way to the database.
    pub const fn found_no_replays(&mut self) {
        if self.refill.is_none() && self.unrecorded == 0 {
            self.replays = 0;
            self.next_replay = None;
        }
    }

    /// Without replays.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Replays too.
    #[must_use]
    pub const fn all_rows(&self) -> u64 {
        self.rows + self.replays
    }

    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.behind
    }

    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        if self.refill.is_some() {
            None
        } else {
            self.next_due
        }
    }

    #[must_use]
    pub fn next_replay(&self) -> Option<Instant> {
        if self.refill.is_some() {
            None
        } else {
            self.next_replay
        }
    }

    /// A due delivery went to the database for want of room.
    pub fn shelve(&mut self, key: DeliveryKey) {
        if key.is_replay() {
            self.replays += 1;
            return;
        }
        self.rows += 1;
        self.behind = true;
        if let Some(refill) = &mut self.refill {
            refill.shelved_since = true;
        }
    }

    /// A failed delivery went there until its time.
    pub const fn await_retry(&mut self, key: DeliveryKey) {
        if key.is_replay() {
            self.replays += 1;
        } else {
            self.rows += 1;
        }
    }

    /// Something of it is, whatever it is.
    pub fn due_at(&mut self, at: Instant) {
        self.next_due = Some(earlier(self.next_due, at));
        if self.replays > 0 {
            self.next_replay = Some(earlier(self.next_replay, at));
        }
    }

    pub const fn handed_to_recorder(&mut self) {
        self.unrecorded += 1;
    }

    /// Whether an entry of the lane is not written yet.
    #[must_use]
    pub const fn is_unrecorded(&self) -> bool {
        self.unrecorded > 0
    }

    pub fn row_changes(&mut self, key: DeliveryKey) {
        self.changing.insert(key, false);
    }

    /// The recorder has written what concerns this delivery. One that was spilled may have
    /// landed since: the row that was just made is still to be changed or removed. A row that
    /// the database refuses to change or remove stays, and is passed over.
    pub fn recorded(&mut self, key: DeliveryKey, kind: RecordedKind) {
        self.unrecorded = self.unrecorded.saturating_sub(1);
        if matches!(
            kind,
            RecordedKind::Spilled | RecordedKind::SupersededOlder | RecordedKind::Refused
        ) {
            return;
        }
        if self.refill.is_some() {
            if let Some(changed) = self.changing.get_mut(&key) {
                *changed = true;
            }
        } else {
            self.changing.remove(&key);
        }
    }

    /// Begins a refill of so many; returns the rows to pass over that are in no queue.
    /// `in_memory`: there are some in a queue or in the air, too.
    pub fn begin_refill(
        &mut self,
        asked: Rows,
        in_memory: bool,
    ) -> impl Iterator<Item = DeliveryKey> {
        self.refill = Some(Refill {
            asked,
            passes_over: in_memory || !self.changing.is_empty(),
            shelved_since: false,
            spoiled: false,
        });
        self.next_due = None;
        if asked.replays > 0 {
            self.next_replay = None;
        }
        self.changing.keys().copied()
    }

    #[must_use]
    pub const fn is_refilling(&self) -> bool {
        self.refill.is_some()
    }

    /// What the refill finds, if there is one, is to stay where it is.
    pub const fn spoil_refill(&mut self) {
        if let Some(refill) = &mut self.refill {
            refill.spoiled = true;
        }
    }

    #[must_use]
    pub fn is_refill_spoiled(&self) -> bool {
        self.refill.as_ref().is_some_and(|refill| refill.spoiled)
    }

    #[must_use]
    pub fn is_changing(&self, key: DeliveryKey) -> bool {
        self.changing.contains_key(&key)
    }

    /// Ends the refill: so many rows were found, so many of them go into memory, and the
    /// next one is due then.
    pub fn end_refill(&mut self, found: Rows, taken: Rows, next_due: Due, now: Instant) {
        let Some(refill) = self.refill.take() else {
            return;
        };
        self.changing.retain(|_, changed| !*changed);
        self.rows = self.rows.saturating_sub(taken.deliveries as u64);
        self.replays = self.replays.saturating_sub(taken.replays as u64);
        // Hand-run SQL, or a newer event, may have removed rows that were counted: if nothing is
        // on its way, what was not found is not there.
        let is_certain = self.unrecorded == 0 && !refill.passes_over;
        let again = (!is_certain).then_some(now + LOOK_AGAIN);
        let more = found.deliveries >= refill.asked.deliveries;
        self.behind = more || refill.shelved_since;
        if let Some(due) = more.then_some(now).or(next_due.deliveries) {
            self.next_due = Some(earlier(self.next_due, due));
        } else if found.deliveries == 0 && self.next_due.is_none() && self.rows > 0 {
            self.next_due = again;
            if is_certain {
                self.rows = 0;
                self.behind = false;
            }
        }
        if refill.asked.replays == 0 {
            return;
        }
        let more = found.replays >= refill.asked.replays;
        if let Some(due) = more.then_some(now).or(next_due.replays) {
            self.next_replay = Some(earlier(self.next_replay, due));
        } else if found.replays == 0 && self.next_replay.is_none() && self.replays > 0 {
            self.next_replay = again;
            if is_certain {
                self.replays = 0;
            }
        }
    }

    /// The refill failed: the database is away.
    pub fn refill_failed(&mut self, again: Instant) {
        self.refill = None;
        self.changing.retain(|_, changed| !*changed);
        self.due_at(again);
    }
}

fn earlier(one: Option<Instant>, other: Instant) -> Instant {
    one.map_or(other, |one| one.min(other))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::model::State;

    const KEY: DeliveryKey = DeliveryKey {
        event_id: Uuid::nil(),
        subscription_id: Uuid::nil(),
        generation: 0,
    };

    const fn rows(deliveries: usize, replays: usize) -> Rows {
        Rows {
            deliveries,
            replays,
        }
    }

    fn found(rows: u64, due: Instant) -> Shelf {
        let mut shelf = Shelf::default();
        shelf.found(rows, due);
        shelf
    }

    #[test]
    fn a_full_refill_is_followed_by_another_and_a_short_one_by_the_next_retry() {
        let now = Instant::now();
        let mut shelf = found(5, now);
        let _ = shelf.begin_refill(rows(3, 0), false);
        assert_eq!(shelf.next_due(), None, "one at a time");
        shelf.end_refill(rows(3, 0), rows(3, 0), Due::default(), now);
        assert_eq!(
            (shelf.next_due(), shelf.is_behind(), shelf.rows()),
            (Some(now), true, 2)
        );
        let later = now + Duration::from_mins(30);
        let _ = shelf.begin_refill(rows(3, 0), false);
        let next = Due {
            deliveries: Some(later),
            replays: None,
        };
        shelf.end_refill(rows(1, 0), rows(1, 0), next, now);
        assert_eq!(
            (shelf.next_due(), shelf.is_behind(), shelf.rows()),
            (Some(later), false, 1)
        );
    }

    #[test]
    fn a_row_changed_during_a_refill_is_passed_over_until_the_refill_ends() {
        let now = Instant::now();
        let mut shelf = found(1, now);
        shelf.row_changes(KEY);
        assert_eq!(
            shelf.begin_refill(rows(1, 0), false).collect::<Vec<_>>(),
            [KEY]
        );
        shelf.recorded(KEY, RecordedKind::Finished(State::Delivered));
        assert!(shelf.is_changing(KEY), "the refill may have read it before");
        shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
        assert!(!shelf.is_changing(KEY));
    }

    #[test]
    fn a_row_made_after_its_delivery_has_landed_is_passed_over_until_it_is_removed() {
        let now = Instant::now();
        let mut shelf = found(1, now);
        shelf.handed_to_recorder();
        shelf.handed_to_recorder();
        shelf.row_changes(KEY);
        shelf.recorded(KEY, RecordedKind::Spilled);
        assert_eq!(
            shelf.begin_refill(rows(1, 0), false).collect::<Vec<_>>(),
            [KEY]
        );
        shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
        shelf.recorded(KEY, RecordedKind::Finished(State::Delivered));
        assert!(!shelf.is_changing(KEY));
    }

    #[test]
    fn what_is_shelved_during_a_refill_keeps_the_lane_behind() {
        let now = Instant::now();
        let mut shelf = Shelf::default();
        let _ = shelf.begin_refill(rows(9, 0), false);
        shelf.shelve(KEY);
        shelf.due_at(now);
        shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
        assert!(shelf.is_behind());
        assert_eq!(shelf.next_due(), Some(now));
    }

    #[test]
    fn rows_that_others_removed_are_forgotten() {
        let now = Instant::now();
        let mut shelf = found(7, now);
        let _ = shelf.begin_refill(rows(9, 0), false);
        shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
        assert_eq!((shelf.rows(), shelf.is_behind()), (0, false));
    }

    #[test]
    fn rows_that_may_be_on_their_way_are_looked_for_again() {
        let now = Instant::now();
        let mut shelf = found(7, now);
        shelf.handed_to_recorder();
        let _ = shelf.begin_refill(rows(9, 0), false);
        shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
        assert_eq!(
            (shelf.rows(), shelf.next_due()),
            (7, Some(now + LOOK_AGAIN))
        );
        shelf.recorded(KEY, RecordedKind::Finished(State::Cancelled));
        let _ = shelf.begin_refill(rows(9, 0), false);
        shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
        assert_eq!((shelf.rows(), shelf.next_due()), (0, None));
    }

    #[test]
    fn replays_that_find_no_room_keep_their_time_and_hold_nobody_up() {
        let now = Instant::now();
        let mut shelf = Shelf::default();
        shelf.found_replays(5, now);
        let _ = shelf.begin_refill(rows(3, 0), false);
        shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
        assert_eq!(shelf.next_replay(), Some(now));
        let _ = shelf.begin_refill(rows(3, 2), false);
        shelf.end_refill(rows(0, 2), rows(0, 2), Due::default(), now);
        assert_eq!((shelf.next_replay(), shelf.all_rows()), (Some(now), 3));
        assert_eq!((shelf.rows(), shelf.is_behind()), (0, false));
        let _ = shelf.begin_refill(rows(3, 2), false);
        shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
        assert_eq!((shelf.next_replay(), shelf.all_rows()), (None, 0));
    }
}
