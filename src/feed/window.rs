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
mod tests;
