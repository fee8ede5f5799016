//! How a snapshot window is paged through. A state machine without I/O.
//!
//! New since snapshot P and visible in C is: written by a transaction that P did not
//! include, and C does. Those are the transactions that ran at P (the late ones, looked
//! up one by one) and all that began after it (`xid >= xmax(P)`, paged by `(xid, id)`).
//! `id > last_seen` would lose rows: sequences do not commit in order.

use uuid::Uuid;

use crate::model::{Event, Snapshot};
use crate::store::events::{Page, PageRequest};

/// A window being read: from the snapshot before it to one that the first page names.
#[derive(Clone, Debug)]
pub struct Window {
    from: Snapshot,
    next: PageRequest,
}

/// What a page has brought, and whether the window is read to its end.
#[derive(Debug)]
pub struct Turned {
    pub events: Vec<Event>,
    /// The window's end, once everything visible in it has been read.
    pub complete: Option<Snapshot>,
}

impl Window {
    /// Everything since `from`, up to `until` or, without it, to the moment of the first
    /// page.
    #[must_use]
    pub fn since(from: &Snapshot, until: Option<Snapshot>) -> Self {
        Self {
            from: from.clone(),
            next: PageRequest {
                until,
                late: from.running.iter().map(|xid| (*xid, Uuid::nil())).collect(),
                after: (from.xmax, Uuid::nil()),
                limit: 0,
            },
        }
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
    pub fn turn(&mut self, page: Page) -> Turned {
        let Page {
            until, mut events, ..
        } = page;
        let full = usize::try_from(self.next.limit).unwrap_or(usize::MAX);
        let mut late: Vec<(u64, Uuid, usize)> = self
            .next
            .late
            .iter()
            .map(|(xid, after)| (*xid, *after, 0))
            .collect();
        for (xid, _) in &events {
            if let Some((.., count)) = late.iter_mut().find(|(late, ..)| late == xid) {
                *count += 1;
            }
        }
        // The younger ones may tell of the same transactions as what is left of a late one,
        // and later: they are read again when it has been read to its end.
        let late_first = late.iter().any(|(_, _, count)| *count >= full);
        if late_first {
            events.retain(|(xid, _)| late.iter().any(|(late, ..)| late == xid));
        }
        let mut younger = 0;
        for (xid, event) in &events {
            if let Some((_, after, _)) = late.iter_mut().find(|(late, ..)| late == xid) {
                *after = event.id;
            } else {
                younger += 1;
                self.next.after = (*xid, event.id);
            }
        }
        self.next.late = late
            .into_iter()
            .filter(|(_, _, count)| *count >= full)
            .map(|(xid, after, _)| (xid, after))
            .collect();
        if younger < full && !late_first {
            // Nothing that C includes is at or above its xmax: no more younger ones.
            self.next.after = (until.xmax, Uuid::max());
        }
        let complete = (!late_first && younger < full).then(|| until.clone());
        self.next.until = Some(until);
        Turned {
            events: events.into_iter().map(|(_, event)| event).collect(),
            complete,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use crate::model::samples;

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    fn written_by(xids: &[u64]) -> Vec<(u64, Event)> {
        xids.iter()
            .enumerate()
            .map(|(at, xid)| {
                let mut event = samples::event();
                event.id = Uuid::from_u128(at as u128 + 1);
                (*xid, event)
            })
            .collect()
    }

    #[test]
    fn a_short_page_ends_the_window() {
        let mut window = Window::since(&snapshot("5:9:5,7"), None);
        let request = window.next_page(3);
        assert_eq!(request.late, [(5, Uuid::nil()), (7, Uuid::nil())]);
        assert_eq!(request.after, (9, Uuid::nil()));
        let turned = window.turn(Page {
            until: snapshot("7:12:7"),
            events: written_by(&[5, 9, 10]),
            revision: 0,
        });
        assert_eq!(turned.events.len(), 3);
        assert_eq!(turned.complete, Some(snapshot("7:12:7")));
    }

    #[test]
    fn a_full_page_goes_on_after_its_last_row_with_the_same_end() {
        let mut window = Window::since(&snapshot("9:9:"), None);
        window.next_page(2);
        let turned = window.turn(Page {
            until: snapshot("12:12:"),
            events: written_by(&[9, 10]),
            revision: 0,
        });
        assert_eq!(turned.complete, None);
        let request = window.next_page(2);
        assert_eq!(request.after, (10, Uuid::from_u128(2)));
        assert_eq!(request.until, Some(snapshot("12:12:")));
        let turned = window.turn(Page {
            until: snapshot("12:12:"),
            events: vec![],
            revision: 0,
        });
        assert_eq!(turned.complete, Some(snapshot("12:12:")));
    }

    #[test]
    fn a_late_transaction_with_many_rows_is_read_on_alone() {
        let mut window = Window::since(&snapshot("5:9:5,6"), None);
        window.next_page(2);
        let turned = window.turn(Page {
            until: snapshot("12:12:"),
            events: written_by(&[5, 5, 6, 9]),
            revision: 0,
        });
        assert_eq!(turned.complete, None);
        assert_eq!(turned.events.len(), 3, "of the late ones");
        let request = window.next_page(2);
        assert_eq!(request.late, [(5, Uuid::from_u128(2))]);
        assert_eq!(
            request.after,
            (9, Uuid::nil()),
            "the younger ones come after it"
        );
    }
}
