//! What a lane knows of its deliveries that wait in the database. Without I/O.
//!
//! Only the time of the next one is kept, not the deliveries: memory does not grow with
//! the backlog (invariant 6).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::flow::input::RecordedKind;
use crate::model::DeliveryKey;

/// How soon to look again for rows that are counted and were not found while entries of theirs
/// were on their way: by then these are recorded.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A lane's rows in the database, as far as it has to know of them.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Rows that are not in memory too, and when the next is due.
    rows: u64,
    next_due: Option<Instant>,
    /// Replays, and when the next of them is due. They are counted apart, because nothing waits
    /// for them.
    replays: u64,
    next_replay: Option<Instant>,
    /// Rows are due that found no room: what is fresh queues up behind them.
    behind: bool,
    refill: Option<Refill>,
    /// Rows that the recorder is about to change or remove; true once it has, while a
    /// refill that may have read them before is still under way.
    changing: HashMap<DeliveryKey, bool>,
    /// Entries handed to the recorder and not yet recorded.
    unrecorded: usize,
}

/// Counts deliveries and replays apart.
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

/// When the next delivery and the next replay are due.
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

    /// How many rows wait, without replays.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// How many rows wait, replays too.
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

    /// A failed delivery went to the database until its time.
    pub const fn await_retry(&mut self, key: DeliveryKey) {
        if key.is_replay() {
            self.replays += 1;
        } else {
            self.rows += 1;
        }
    }

    /// Something of the shelf is due then, whatever it is.
    pub fn due_at(&mut self, at: Instant) {
        self.next_due = Some(earlier(self.next_due, at));
        if self.replays > 0 {
            self.next_replay = Some(earlier(self.next_replay, at));
        }
    }

    pub const fn handed_to_recorder(&mut self) {
        self.unrecorded += 1;
    }

    /// Whether an entry of the lane is not recorded yet.
    #[must_use]
    pub const fn is_unrecorded(&self) -> bool {
        self.unrecorded > 0
    }

    /// Whether no row waits, none is about to change, and none is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all_rows() == 0
            && self.unrecorded == 0
            && self.changing.is_empty()
            && self.refill.is_none()
            && !self.behind
    }

    pub fn row_changes(&mut self, key: DeliveryKey) {
        self.changing.insert(key, false);
    }

    /// What concerns this delivery is recorded. One that was spilled may have
    /// landed since: the row that was just made is still to be changed or removed. A row that
    /// the database refuses to change or remove stays, and is passed over.
    pub fn recorded(&mut self, key: DeliveryKey, kind: RecordedKind) {
        // An entry of a row that was withdrawn before the lane was there is not counted.
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
        // Hand-run SQL may have made rows that were never counted.
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
mod tests;
