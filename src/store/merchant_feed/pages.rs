//! The pages that one statement fills, row by row, in the order in which they were asked for.

use super::{FeedPage, Reached, snapshot};
use crate::model::Event;
use crate::store::StoreError;

/// The pages of one statement, by the numbers of what was asked.
pub(super) struct Pages {
    pages: Vec<Option<Page>>,
    /// The most bytes of data that each of them keeps.
    most: usize,
}

struct Page {
    page: FeedPage,
    bytes: usize,
}

impl Pages {
    pub(super) fn of(count: usize, most: usize) -> Self {
        Self {
            pages: (0..count).map(|_| None).collect(),
            most,
        }
    }

    /// Numbers count from 1, as WITH ORDINALITY does.
    pub(super) fn add(
        &mut self,
        n: i64,
        until: &str,
        reached: Option<Reached>,
        event: Option<(u64, Event)>,
    ) -> Result<(), StoreError> {
        let at = usize::try_from(n - 1).unwrap_or(usize::MAX);
        let page = self.pages.get_mut(at);
        let page = match page.ok_or(StoreError::Unreadable("a page"))? {
            Some(page) => page,
            none => none.insert(Page {
                page: FeedPage {
                    until: snapshot(until)?,
                    events: Vec::new(),
                    reached,
                },
                bytes: 0,
            }),
        };
        if let Some(event) = event {
            page.add(event, self.most);
        }
        Ok(())
    }

    pub(super) fn all(self) -> Result<Vec<FeedPage>, StoreError> {
        let pages = self.pages.into_iter();
        let pages: Option<Vec<FeedPage>> = pages.map(|page| Some(page?.page)).collect();
        pages.ok_or(StoreError::Unreadable("a page"))
    }
}

impl Page {
    /// Keeps the first events by `(xid, id)`, as many as there is room for and one at least;
    /// with the others it reaches no further than the last of those.
    fn add(&mut self, event: (u64, Event), most: usize) {
        let Self { page, bytes } = self;
        let is_beyond = |reached: Reached| (event.0, event.1.id) > (reached.last, reached.id);
        if page.reached.is_some_and(is_beyond) {
            return;
        }
        *bytes += event.1.data.len();
        page.events.push(event);
        while *bytes > most && page.events.len() > 1 {
            let key = |&at: &usize| (page.events[at].0, page.events[at].1.id);
            let Some(last) = (0..page.events.len()).max_by_key(key) else {
                return;
            };
            *bytes -= page.events.swap_remove(last).1.data.len();
            let keys = page.events.iter().map(|(xid, event)| (*xid, event.id));
            let (Some((first, _)), Some((last, id))) = (keys.clone().min(), keys.max()) else {
                return;
            };
            let first = page.reached.map_or(first, |reached| reached.first);
            page.reached = Some(Reached { first, last, id });
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::samples;

    #[test]
    fn a_page_keeps_its_first_events_and_reaches_no_further() {
        let rows = [(9, 1, 40), (9, 2, 40), (10, 3, 40), (11, 4, 1), (9, 5, 1)];
        // In whichever order the rows come.
        for turn in 0..rows.len() {
            let mut pages = Pages::of(1, 90);
            for (xid, id, bytes) in rows.iter().cycle().skip(turn).take(rows.len()) {
                let event = Event {
                    id: Uuid::from_u128(*id),
                    data: "x".repeat(*bytes).into(),
                    ..samples::event()
                };
                pages.add(1, "20:20:", None, Some((*xid, event))).unwrap();
            }
            let page = pages.all().unwrap().remove(0);
            let reached = page.reached.unwrap();
            assert_eq!((reached.first, reached.last), (9, 9));
            let mut ids: Vec<u128> = page.events.iter().map(|e| e.1.id.as_u128()).collect();
            ids.sort_unstable();
            // Which of the two depends on the order; what is reached is all there.
            let last = reached.id.as_u128();
            assert!(
                ids == [1, 2] && last == 2 || ids == [1, 2, 5] && last == 5,
                "{ids:?}"
            );
        }
    }
}
