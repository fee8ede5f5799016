//! Where a reader of the log stands: what it has seen, and what comes next. Pure.
//!
//! The window rule is the worker's (`feed::window`): what is new since snapshot S is what was
//! written by transactions that S does not include. A reader gets windows, and the events of
//! a window in the order of their ids, which is that of their insertion; a window with many
//! events is cut between transactions. So the events of one transaction that changed its
//! status twice come in the order of the changes.

use uuid::Uuid;

use crate::model::{Event, Snapshot};
use crate::store::merchant_feed::{FeedPage, Part, Reached};

/// The most events of one stretch, for every reader.
pub const STRETCH: u16 = 500;

/// What a reader has seen: everything that `from` includes, and of the window from there to
/// `until` the events up to an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The snapshot whose events have all been seen.
    pub from: Snapshot,
    /// The window being read, and the last id that was seen of it; none between two windows.
    pub within: Option<(Snapshot, Uuid)>,
}

/// Events in the order in which a reader gets them, and where it stands behind the last.
#[derive(Debug)]
pub struct Stretch {
    /// Where the reader stood before them.
    pub start: Position,
    /// Where it stands behind them.
    pub end: Position,
    /// Whether these are all the events there were when they were read.
    pub is_all: bool,
    /// The events, each with the number of its transaction.
    pub events: Vec<(u64, Event)>,
}

impl Position {
    /// The position behind everything that a snapshot includes.
    #[must_use]
    pub const fn at(snapshot: Snapshot) -> Self {
        Self {
            from: snapshot,
            within: None,
        }
    }

    /// The position before everything.
    #[must_use]
    pub const fn start() -> Self {
        Self::at(Snapshot::before_everything())
    }

    /// Whether this event has been seen.
    #[must_use]
    pub fn has_seen(&self, xid: u64, id: Uuid) -> bool {
        let within = |(until, seen): &(Snapshot, Uuid)| until.includes(xid) && id <= *seen;
        self.from.includes(xid) || self.within.as_ref().is_some_and(within)
    }

    /// Whether everything has been seen that was seen at `other`. A doubtful case is a no.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let Some((until, seen)) = &other.within else {
            return self.from.contains(&other.from);
        };
        if self.from.contains(until) {
            return true;
        }
        let same_window = |(mine, my_seen): &(Snapshot, Uuid)| mine == until && my_seen >= seen;
        self.from == other.from && self.within.as_ref().is_some_and(same_window)
    }

    /// The part of the log that is to be read next.
    #[must_use]
    pub fn part(&self) -> Part {
        let (until, after) = self.within.clone().unzip();
        Part {
            since: self.from.clone(),
            until,
            after: after.unwrap_or_default(),
        }
    }

    /// Makes the stretch of what was read of this position's `part`.
    #[must_use]
    pub fn stretch(&self, page: FeedPage) -> Stretch {
        let FeedPage {
            until,
            mut events,
            reached,
        } = page;
        let end = match reached {
            None => Self::at(until),
            // The last transaction may have more: it waits for the next stretch.
            Some(Reached { first, last, .. }) if first != last => {
                events.retain(|(xid, _)| *xid < last);
                Self {
                    from: until.below(&self.from, last),
                    within: self.within.clone(),
                }
            }
            // It is larger than a stretch, and read on alone.
            Some(Reached { last, id, .. }) => Self {
                from: self.from.clone(),
                within: Some((until.below(&self.from, last + 1), id)),
            },
        };
        events.sort_by_key(|(_, event)| event.id);
        Stretch {
            start: self.clone(),
            end,
            is_all: reached.is_none() && self.within.is_none(),
            events,
        }
    }
}

impl Stretch {
    /// The position of a reader that has seen the events up to this one, by its number from 0.
    #[must_use]
    pub fn position_behind(&self, at: usize) -> Position {
        if at + 1 >= self.events.len() {
            return self.end.clone();
        }
        let until = match &self.end.within {
            Some((until, _)) => until.clone(),
            None => self.end.from.clone(),
        };
        Position {
            from: self.start.from.clone(),
            within: Some((until, self.events[at].1.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples;

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    fn page(until: &str, written: &[(u64, u128)]) -> FeedPage {
        let event = |id| Event {
            id: Uuid::from_u128(id),
            ..samples::event()
        };
        FeedPage {
            until: snapshot(until),
            events: written.iter().map(|(xid, id)| (*xid, event(*id))).collect(),
            reached: None,
        }
    }

    /// A page that ends with this row, whoever's it is; the rest is the next one's.
    fn cut(until: &str, written: &[(u64, u128)], first: u64, (last, id): (u64, u128)) -> FeedPage {
        let id = Uuid::from_u128(id);
        FeedPage {
            reached: Some(Reached { first, last, id }),
            ..page(until, written)
        }
    }

    fn ids(stretch: &Stretch) -> Vec<u128> {
        let ids = stretch.events.iter().map(|(_, event)| event.id.as_u128());
        ids.collect()
    }

    #[test]
    fn a_window_comes_in_the_order_of_insertion_not_of_transaction_numbers() {
        let start = Position::at(snapshot("5:9:5"));
        let stretch = start.stretch(page("12:12:", &[(5, 3), (9, 1), (10, 2)]));
        assert_eq!(ids(&stretch), [1, 2, 3]);
        assert_eq!(stretch.end, Position::at(snapshot("12:12:")));
        assert!(stretch.is_all);
    }

    #[test]
    fn a_large_window_is_cut_between_transactions() {
        let start = Position::at(snapshot("5:9:5"));
        let stretch = start.stretch(cut("12:15:12", &[(5, 4), (9, 1), (10, 2)], 5, (10, 2)));
        assert_eq!(ids(&stretch), [1, 4], "10 may have more");
        assert_eq!(stretch.end, Position::at(snapshot("10:10:")));
        assert!(!stretch.is_all);
    }

    #[test]
    fn others_events_are_passed_over() {
        let start = Position::at(snapshot("9:9:"));
        let stretch = start.stretch(cut("90:90:", &[(10, 2)], 9, (30, 77)));
        assert_eq!(ids(&stretch), [2]);
        assert_eq!(stretch.end, Position::at(snapshot("30:30:")));
        let bulk = start.stretch(cut("90:90:", &[], 9, (9, 77)));
        assert!(bulk.events.is_empty() && !bulk.is_all);
        assert_eq!(bulk.end.part().after, Uuid::from_u128(77));
    }

    #[test]
    fn a_large_transaction_is_read_on_alone() {
        let start = Position::at(snapshot("9:9:"));
        let first = start.stretch(cut("12:12:", &[(9, 1), (9, 2)], 9, (9, 2)));
        assert_eq!(ids(&first), [1, 2]);
        let part = first.end.part();
        assert_eq!(part.until, Some(snapshot("10:10:")));
        assert_eq!(part.after, Uuid::from_u128(2));
        let last = first.end.stretch(page("10:10:", &[(9, 3)]));
        assert_eq!(last.end, Position::at(snapshot("10:10:")));
        assert!(!last.is_all, "what came after it has not been read");
    }

    #[test]
    fn a_reader_that_stops_anywhere_has_seen_just_what_it_got() {
        let start = Position::at(snapshot("5:9:5"));
        let written = [(5, 4), (9, 1), (9, 6), (10, 2)];
        let stretch = start.stretch(page("12:12:", &written));
        for at in 0..written.len() {
            let stopped = stretch.position_behind(at);
            let got = &ids(&stretch)[..=at];
            for (xid, id) in written {
                let seen = stopped.has_seen(xid, Uuid::from_u128(id));
                assert_eq!(seen, got.contains(&id), "{id} after {got:?}");
            }
            assert!(stopped.includes(&start) && stretch.end.includes(&stopped));
            assert!(!start.includes(&stopped));
        }
    }
}
