//! How a snapshot window is paged through. A state machine without I/O.
//!
//! New since snapshot P and visible in C is: written by a transaction that P did not
//! include, and C does. Those are the transactions that ran at P (the late ones, looked
//! up one by one) and all that began after it (`xid >= xmax(P)`, paged by `(xid, id)`).
//! `id > last_seen` would lose rows: sequences do not commit in order.
//!
//! A late transaction that is larger than a page takes turns with everybody else: it is
//! *left* where the page ended, and each page goes on with it. What else a page brings is
//! handed on at once, but for events that must not pass an older one of their payment.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::flow::window::{Late, PageRequest, WindowPage};
use crate::model::{Event, Snapshot};

/// How many transactions may be left at a time. Each page looks every one of them up, and
/// brings up to `limit` events of it: with more of them a page would take as long as it is
/// meant to save. Beyond it the younger transactions wait, and no new ones are left.
const LEFT: usize = 500;

/// A transaction that was not read to its end, and the last id of it that was handed on.
pub type Left = (u64, Uuid);

/// A window being read: from the snapshot before it to one that the first page names.
#[derive(Clone, Debug)]
pub struct Window {
    from: Snapshot,
    next: PageRequest,
    /// Whether the window is complete although transactions are left: the next goes on with them.
    leaves: bool,
}

/// What a page has brought, and whether the window is read to its end.
#[derive(Debug, Default)]
pub struct Turned {
    /// In the order of their ids.
    pub events: Vec<Event>,
    /// The window's end, once everything visible in it has been read: for who goes on from
    /// there, transactions that are left count as running.
    pub complete: Option<Snapshot>,
    /// What is left, once it is complete.
    pub left: Vec<Left>,
}

impl Window {
    /// Everything since `from`, up to `until` or, without it, to the moment of the first
    /// page.
    #[must_use]
    pub fn since(from: &Snapshot, until: Option<Snapshot>) -> Self {
        let late = |xid: &u64| Late {
            xid: *xid,
            after: Uuid::nil(),
            left: false,
        };
        Self {
            from: from.clone(),
            next: PageRequest {
                until,
                late: from.running.iter().map(late).collect(),
                after: (from.xmax, Uuid::nil()),
                limit: 0,
            },
            leaves: false,
        }
    }

    /// Everything since `from` up to the moment of the first page, but for the rest of
    /// transactions that are larger than what is left of a page. `left` is what the window
    /// that ended at `from` has left.
    #[must_use]
    pub fn in_turns(from: &Snapshot, left: &[Left]) -> Self {
        let mut window = Self::since(from, None);
        window.leaves = true;
        let positions: HashMap<u64, Uuid> = left.iter().copied().collect();
        for late in &mut window.next.late {
            if let Some(after) = positions.get(&late.xid) {
                late.after = *after;
                late.left = true;
            }
        }
        window
    }

    /// Only what the transactions wrote that ran at `from`.
    #[must_use]
    pub fn of_late_ones(from: &Snapshot) -> Self {
        let mut window = Self::since(from, None);
        window.next.after = (u64::MAX, Uuid::max());
        window
    }

    /// The snapshot before it.
    #[must_use]
    pub const fn from(&self) -> &Snapshot {
        &self.from
    }

    /// The next page: `limit` events of the younger transactions, and of each late one.
    pub fn next_page(&mut self, limit: i64) -> &PageRequest {
        self.next.limit = limit;
        &self.next
    }

    /// Takes the page that `next_page` asked for.
    pub fn turn(&mut self, page: WindowPage) -> Turned {
        let WindowPage {
            until,
            events,
            overtaking,
            ..
        } = page;
        self.next.until = Some(until.clone());
        let full = usize::try_from(self.next.limit).unwrap_or(usize::MAX);
        let read = Read::of(&self.next, &events);
        if self.note_large_ones(&read, full) {
            return Turned::default();
        }
        // With so many that are left the younger ones wait.
        let is_crowded = self.next.late.iter().filter(|late| late.left).count() > LEFT;
        let is_last = !is_crowded && read.younger < full;
        if let Some(last) = read.last.filter(|_| !is_crowded) {
            self.next.after = last;
        }
        if is_last {
            // Nothing that C includes is at or above its xmax: no more younger ones.
            self.next.after = (until.xmax, Uuid::max());
        }
        let late: HashSet<u64> = self.next.late.iter().map(|late| late.xid).collect();
        let in_turn = events
            .into_iter()
            .filter(|(xid, _)| !is_crowded || late.contains(xid))
            .collect();
        let Sifted { events, reached } = sift(in_turn, &overtaking);
        self.go_on_with(&read, full, &reached);
        let left: Vec<Left> = self.next.late.iter().map(|it| (it.xid, it.after)).collect();
        let complete = is_last && (self.leaves || left.is_empty());
        Turned {
            events,
            complete: complete.then(|| until.with_running(left.iter().map(|(xid, _)| *xid))),
            left: if complete { left } else { Vec::new() },
        }
    }

    /// Whether late ones prove to be larger than a page only now. The rest of the page does
    /// not know that their unread events may be older ones of the same payments: nothing of
    /// it is handed on, and it is read again by those who know.
    fn note_large_ones(&mut self, read: &Read, full: usize) -> bool {
        let mut any = false;
        for late in self.next.late.iter_mut().filter(|late| !late.left) {
            late.left = read.late.get(&late.xid).is_some_and(|count| *count >= full);
            any |= late.left;
        }
        any
    }

    /// Late ones are left that fill the page, and whatever was held back. `reached` has the
    /// last id that was handed on of each transaction of the page, and whether it was held
    /// back there.
    fn go_on_with(&mut self, read: &Read, full: usize, reached: &HashMap<u64, Reached>) {
        let mut late = std::mem::take(&mut self.next.late);
        late.retain_mut(|late| {
            let reached = reached.get(&late.xid);
            late.after = reached.and_then(|it| it.last).unwrap_or(late.after);
            let is_full = read.late.get(&late.xid).is_some_and(|count| *count >= full);
            late.left = is_full || reached.is_some_and(|it| it.is_held_back);
            late.left
        });
        let younger = reached
            .iter()
            .filter(|(xid, reached)| reached.is_held_back && !read.late.contains_key(*xid));
        let younger: Vec<Late> = younger
            .map(|(xid, reached)| Late {
                xid: *xid,
                after: reached.last.unwrap_or(if *xid == read.after.0 {
                    read.after.1
                } else {
                    Uuid::nil()
                }),
                left: true,
            })
            .collect();
        // What lies behind the page of one that is held back is read as the rest of it.
        if younger.iter().any(|late| late.xid == self.next.after.0) {
            self.next.after.1 = Uuid::max();
        }
        late.extend(younger);
        late.sort_by_key(|late| late.xid);
        self.next.late = late;
    }
}

/// How much a page has of whom.
struct Read {
    /// The number of events that the page has of each late transaction.
    late: HashMap<u64, usize>,
    /// After which one of the younger it begins.
    after: (u64, Uuid),
    younger: usize,
    /// The last one of the younger.
    last: Option<(u64, Uuid)>,
}

impl Read {
    fn of(request: &PageRequest, events: &[(u64, Event)]) -> Self {
        let mut read = Self {
            late: request.late.iter().map(|late| (late.xid, 0)).collect(),
            after: request.after,
            younger: 0,
            last: None,
        };
        for (xid, event) in events {
            if let Some(count) = read.late.get_mut(xid) {
                *count += 1;
            } else {
                read.younger += 1;
                read.last = Some((*xid, event.id));
            }
        }
        read
    }
}

struct Sifted {
    events: Vec<Event>,
    reached: HashMap<u64, Reached>,
}

/// How far a transaction was handed on.
#[derive(Default)]
struct Reached {
    last: Option<Uuid>,
    is_held_back: bool,
}

/// What of a page may be handed on: an event that would overtake an unread one ends the
/// reading of its transaction, and so does one that would overtake what is held back by that.
fn sift(mut page: Vec<(u64, Event)>, overtaking: &HashSet<Uuid>) -> Sifted {
    page.sort_by_key(|(_, event)| event.id);
    let mut reached: HashMap<u64, Reached> = HashMap::new();
    let mut held_back = HashSet::new();
    let mut events = Vec::with_capacity(page.len());
    for (xid, event) in page {
        let of_it = reached.entry(xid).or_default();
        let payment = (event.merchant.clone(), event.transaction_id.clone());
        of_it.is_held_back |= overtaking.contains(&event.id) || held_back.contains(&payment);
        if of_it.is_held_back {
            held_back.insert(payment);
        } else {
            of_it.last = Some(event.id);
            events.push(event);
        }
    }
    Sifted { events, reached }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use crate::model::samples;

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// By transaction and id, each of a payment of its own.
    fn written_by(rows: &[(u64, u128)]) -> Vec<(u64, Event)> {
        let event = |(xid, number): &(u64, u128)| {
            let mut event = samples::event();
            event.id = id(*number);
            event.transaction_id = format!("T-{number}").into();
            (*xid, event)
        };
        rows.iter().map(event).collect()
    }

    fn page(until: &str, rows: &[(u64, u128)], overtaking: &[u128]) -> WindowPage {
        WindowPage {
            until: snapshot(until),
            events: written_by(rows),
            overtaking: overtaking.iter().copied().map(id).collect(),
            revision: 0,
        }
    }

    fn ids(turned: &Turned) -> Vec<u128> {
        let ids = turned.events.iter().map(|event| event.id.as_u128());
        ids.collect()
    }

    fn late(window: &mut Window, limit: i64) -> Vec<(u64, u128, bool)> {
        let late = window.next_page(limit).late.iter();
        late.map(|it| (it.xid, it.after.as_u128(), it.left))
            .collect()
    }

    #[test]
    fn a_short_page_ends_the_window() {
        let mut window = Window::since(&snapshot("5:9:5,7"), None);
        assert_eq!(late(&mut window, 3), [(5, 0, false), (7, 0, false)]);
        assert_eq!(window.next_page(3).after, (9, Uuid::nil()));
        let turned = window.turn(page("7:12:7", &[(5, 1), (9, 2), (10, 3)], &[]));
        assert_eq!(ids(&turned), [1, 2, 3]);
        assert_eq!(turned.complete, Some(snapshot("7:12:7")));
    }

    #[test]
    fn a_full_page_goes_on_after_its_last_row_with_the_same_end() {
        let mut window = Window::since(&snapshot("9:9:"), None);
        window.next_page(2);
        let turned = window.turn(page("12:12:", &[(9, 1), (10, 2)], &[]));
        assert_eq!(turned.complete, None);
        let request = window.next_page(2);
        assert_eq!(request.after, (10, id(2)));
        assert_eq!(request.until, Some(snapshot("12:12:")));
        let turned = window.turn(page("12:12:", &[], &[]));
        assert_eq!(turned.complete, Some(snapshot("12:12:")));
    }

    #[test]
    fn a_page_comes_in_the_order_of_the_ids() {
        let mut window = Window::since(&snapshot("5:9:5"), None);
        window.next_page(5);
        let turned = window.turn(page("12:12:", &[(5, 3), (9, 2), (10, 1)], &[]));
        assert_eq!(ids(&turned), [1, 2, 3]);
    }

    #[test]
    fn where_a_transaction_proves_to_be_large_the_page_is_read_again() {
        let mut window = Window::in_turns(&snapshot("5:9:5,6"), &[]);
        window.next_page(2);
        let rows = [(5, 1), (5, 2), (6, 3), (9, 4)];
        let turned = window.turn(page("12:12:", &rows, &[]));
        assert_eq!(ids(&turned), []);
        assert_eq!(turned.complete, None);
        assert_eq!(late(&mut window, 2), [(5, 0, true), (6, 0, false)]);
        let request = window.next_page(2);
        assert_eq!(request.after, (9, Uuid::nil()));
        assert_eq!(request.until, Some(snapshot("12:12:")));
    }

    #[test]
    fn a_large_transaction_is_left_and_the_next_window_goes_on_with_it() {
        let mut window = Window::in_turns(&snapshot("5:9:5,6"), &[(5, id(1))]);
        assert_eq!(late(&mut window, 2), [(5, 1, true), (6, 0, false)]);
        let turned = window.turn(page("12:12:", &[(5, 2), (5, 3), (6, 4), (9, 5)], &[]));
        assert_eq!(ids(&turned), [2, 3, 4, 5]);
        let end = turned.complete.unwrap();
        assert_eq!(end, snapshot("5:12:5"));
        assert_eq!(turned.left, [(5, id(3))]);

        let mut window = Window::in_turns(&end, &turned.left);
        assert_eq!(late(&mut window, 2), [(5, 3, true)]);
        let turned = window.turn(page("13:13:", &[(5, 6), (12, 7)], &[]));
        assert_eq!(ids(&turned), [6, 7]);
        assert_eq!(turned.complete, Some(snapshot("13:13:")));
        assert_eq!(turned.left, []);
    }

    #[test]
    fn it_takes_its_turn_with_each_page_of_the_younger() {
        let mut window = Window::in_turns(&snapshot("5:9:5"), &[(5, id(1))]);
        window.next_page(2);
        let turned = window.turn(page("12:12:", &[(5, 2), (5, 3), (9, 4), (9, 5)], &[]));
        assert_eq!(ids(&turned), [2, 3, 4, 5]);
        assert_eq!(turned.complete, None);
        assert_eq!(late(&mut window, 2), [(5, 3, true)]);
        assert_eq!(window.next_page(2).after, (9, id(5)));
    }

    #[test]
    fn a_window_that_leaves_nothing_goes_on_until_all_is_read() {
        let mut window = Window::since(&snapshot("5:9:5"), None);
        window.next_page(1);
        window.turn(page("12:12:", &[(5, 1), (9, 2)], &[]));
        window.next_page(1);
        let turned = window.turn(page("12:12:", &[(5, 1), (9, 2)], &[]));
        assert_eq!(ids(&turned), [1, 2]);
        window.next_page(1);
        let turned = window.turn(page("12:12:", &[(5, 3)], &[]));
        assert_eq!((ids(&turned), turned.complete), (vec![3], None));
        assert_eq!(late(&mut window, 1), [(5, 3, true)]);
        let turned = window.turn(page("12:12:", &[], &[]));
        assert_eq!(turned.complete, Some(snapshot("12:12:")));
        assert_eq!(turned.left, []);
    }

    #[test]
    fn what_would_overtake_waits_with_what_comes_after_it() {
        let mut window = Window::in_turns(&snapshot("5:9:5,7"), &[(5, id(1))]);
        window.next_page(9);
        // 14 would overtake the rest of 5, and so do 15 and 16, which tell of its payment.
        let mut page = page(
            "20:20:",
            &[
                (5, 2),
                (7, 13),
                (7, 14),
                (7, 15),
                (9, 10),
                (9, 16),
                (10, 17),
            ],
            &[14],
        );
        for (_, event) in &mut page.events {
            if [14, 16].contains(&event.id.as_u128()) {
                event.transaction_id = "T".into();
            }
        }
        let turned = window.turn(page);
        assert_eq!(ids(&turned), [2, 10, 13, 17]);
        assert_eq!(turned.complete, Some(snapshot("7:20:7,9")));
        assert_eq!(turned.left, [(7, id(13)), (9, id(10))]);
    }

    #[test]
    fn one_that_is_held_back_at_its_first_event_and_cut_by_the_page_is_left_there() {
        let mut window = Window::in_turns(&snapshot("5:9:5"), &[(5, id(1))]);
        window.next_page(2);
        let turned = window.turn(page("12:12:", &[(5, 2), (5, 3), (9, 4), (9, 5)], &[4]));
        assert_eq!(ids(&turned), [2, 3]);
        assert_eq!(turned.complete, None);
        assert_eq!(late(&mut window, 2), [(5, 3, true), (9, 0, true)]);
        assert_eq!(window.next_page(2).after, (9, Uuid::max()));
    }

    #[test]
    fn one_that_is_held_back_on_its_second_page_is_left_where_the_first_ended() {
        let mut window = Window::in_turns(&snapshot("5:9:5"), &[(5, id(1))]);
        window.next_page(2);
        let turned = window.turn(page("12:12:", &[(5, 2), (9, 3), (9, 4)], &[]));
        assert_eq!(ids(&turned), [2, 3, 4]);
        window.next_page(2);
        let turned = window.turn(page("12:12:", &[(9, 5)], &[5]));
        assert_eq!(ids(&turned), []);
        assert_eq!(turned.left, [(9, id(4))]);
    }

    #[test]
    fn with_too_many_that_are_left_the_younger_ones_wait() {
        let running = |count: u64| Snapshot {
            xmin: 5,
            xmax: 1000,
            running: (5..5 + count).collect(),
        };
        let left = |from: &Snapshot| -> Vec<Left> {
            let running = from.running.iter();
            running.map(|xid| (*xid, Uuid::nil())).collect()
        };
        let most = u64::try_from(LEFT).unwrap();
        for (count, handed_on) in [(most, vec![1, 2]), (most + 1, vec![1])] {
            let from = running(count);
            let mut window = Window::in_turns(&from, &left(&from));
            window.next_page(2);
            let turned = window.turn(page("2000:2000:", &[(5, 1), (1000, 2)], &[]));
            assert_eq!(ids(&turned), handed_on, "{count}");
            let is_complete = turned.complete.is_some();
            assert_eq!(is_complete, count == most, "{count}");
        }
    }
}
