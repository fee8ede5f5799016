//! Up to where everything of a shard is durable. Bookkeeping without I/O.

use std::collections::{BTreeMap, VecDeque};

use crate::flow::entry::PageId;
use crate::model::{Shard, Snapshot};

/// The checkpoints of the shards that this worker owns.
///
/// A page counts its deliveries that have no row yet; a window's last page carries the
/// window's end. The checkpoint is the end of the last window before the first page
/// that still counts one, so it never passes an undurable delivery (invariant 3).
#[derive(Debug, Default)]
pub struct Checkpoints {
    shards: BTreeMap<Shard, Track>,
    pages: u64,
}

#[derive(Debug, Default)]
struct Track {
    /// None until a window has been read to its end here: what the last owner left may be of
    /// a server that was restarted since, and stays in the row as it is.
    durable: Option<Snapshot>,
    /// Pages that were not all durable when they were read, oldest first.
    open: VecDeque<OpenPage>,
    /// Whether `durable` has moved since it was last taken for writing.
    moved: bool,
}

#[derive(Debug)]
struct OpenPage {
    id: PageId,
    undurable: usize,
    /// Of those, the ones that are left to the next owner.
    left: usize,
    /// The end of the window that is complete with this page.
    ends: Option<Snapshot>,
}

impl Checkpoints {
    /// Begins to keep a shard's checkpoint.
    pub fn adopt(&mut self, shard: Shard) {
        self.shards.insert(shard, Track::default());
    }

    pub fn forget_shard(&mut self, shard: Shard) {
        self.shards.remove(&shard);
    }

    /// A name for the page that is about to be routed.
    pub fn next_page(&mut self) -> PageId {
        self.pages += 1;
        PageId(self.pages)
    }

    /// Notes how many deliveries a page brought for a shard: before any of them can
    /// become durable.
    pub fn page_read(&mut self, shard: Shard, id: PageId, undurable: usize) {
        let track = self.shards.get_mut(&shard);
        debug_assert!(
            track.is_some(),
            "a page was read of {shard:?}, which nobody keeps"
        );
        if undurable > 0
            && let Some(track) = track
        {
            track.open.push_back(OpenPage {
                id,
                undurable,
                left: 0,
                ends: None,
            });
        }
    }

    /// Notes that a window has been read to its end for these shards. Some may be lost by now.
    pub fn window_read(&mut self, shards: &[Shard], end: &Snapshot) {
        for shard in shards {
            if let Some(track) = self.shards.get_mut(shard) {
                match track.open.back_mut() {
                    Some(page) => page.ends = Some(end.clone()),
                    None => track.reach(end.clone()),
                }
            }
        }
    }

    /// Notes that one delivery of a page has its row. A shard that has gone meanwhile is
    /// no longer this worker's to keep.
    pub fn settle(&mut self, shard: Shard, id: PageId) {
        let Some(track) = self.shards.get_mut(&shard) else {
            return;
        };
        let at = track.open.binary_search_by_key(&id, |page| page.id);
        debug_assert!(at.is_ok(), "{id:?} of {shard:?} waits for nothing");
        if let Ok(at) = at {
            let page = &mut track.open[at];
            debug_assert!(page.undurable > page.left, "{page:?} settles twice");
            page.undurable = page.undurable.saturating_sub(1);
        }
        while track.open.front().is_some_and(|page| page.undurable == 0) {
            let ends = track.open.pop_front().and_then(|page| page.ends);
            if let Some(end) = ends {
                track.reach(end);
            }
        }
    }

    /// Notes that one delivery of a page gets no row here: the checkpoint stays before it, and
    /// who reads on from there meets it again.
    pub fn leave(&mut self, shard: Shard, id: PageId) {
        let pages = self.shards.get_mut(&shard).map(|track| &mut track.open);
        let page = pages.and_then(|pages| pages.iter_mut().find(|page| page.id == id));
        debug_assert!(page.is_some(), "{id:?} of {shard:?} waits for nothing");
        if let Some(page) = page {
            page.left += 1;
            debug_assert!(page.left <= page.undurable, "{page:?} leaves too many");
        }
    }

    /// Whether nothing of a shard is only in memory, but for what is left to the next owner.
    #[must_use]
    pub fn is_settled(&self, shard: Shard) -> bool {
        self.shards
            .get(&shard)
            .is_none_or(|track| track.open.iter().all(|page| page.undurable == page.left))
    }

    /// Up to where everything is durable, as far as this worker has read.
    #[must_use]
    pub fn checkpoint(&self, shard: Shard) -> Option<&Snapshot> {
        self.shards.get(&shard)?.durable.as_ref()
    }

    /// The checkpoints that have moved since this was last asked.
    pub fn take_moved(&mut self) -> Vec<(Shard, Snapshot)> {
        let moved = self.shards.iter_mut().filter(|(_, track)| track.moved);
        moved
            .filter_map(|(shard, track)| {
                track.moved = false;
                Some((*shard, track.durable.clone()?))
            })
            .collect()
    }
}

impl Track {
    fn reach(&mut self, end: Snapshot) {
        let end = Some(end);
        self.moved |= self.durable != end;
        self.durable = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: Shard = Shard(7);

    fn at(xid: u64) -> Snapshot {
        Snapshot {
            xmin: xid,
            xmax: xid,
            running: vec![],
        }
    }

    fn adopted() -> Checkpoints {
        let mut checkpoints = Checkpoints::default();
        checkpoints.adopt(SHARD);
        checkpoints
    }

    fn read(checkpoints: &mut Checkpoints, deliveries: usize) -> PageId {
        let page = checkpoints.next_page();
        checkpoints.page_read(SHARD, page, deliveries);
        page
    }

    #[test]
    fn an_empty_window_moves_the_checkpoint_at_once() {
        let mut checkpoints = adopted();
        checkpoints.window_read(&[SHARD], &at(2));
        assert_eq!(checkpoints.take_moved(), [(SHARD, at(2))]);
        assert_eq!(checkpoints.take_moved(), []);
    }

    #[test]
    fn a_checkpoint_waits_for_every_delivery_before_it() {
        let mut checkpoints = adopted();
        let first = read(&mut checkpoints, 2);
        checkpoints.window_read(&[SHARD], &at(2));
        let second = read(&mut checkpoints, 1);
        checkpoints.window_read(&[SHARD], &at(3));
        checkpoints.settle(SHARD, second);
        checkpoints.settle(SHARD, first);
        assert_eq!(
            checkpoints.checkpoint(SHARD),
            None,
            "one of the first is missing"
        );
        checkpoints.settle(SHARD, first);
        assert_eq!(checkpoints.checkpoint(SHARD), Some(&at(3)));
        assert!(checkpoints.is_settled(SHARD));
    }

    #[test]
    fn a_window_counts_only_when_its_last_page_is_read() {
        let mut checkpoints = adopted();
        let page = read(&mut checkpoints, 1);
        checkpoints.settle(SHARD, page);
        assert_eq!(checkpoints.checkpoint(SHARD), None, "the window goes on");
        checkpoints.window_read(&[SHARD], &at(2));
        assert_eq!(checkpoints.checkpoint(SHARD), Some(&at(2)));
    }

    #[test]
    fn an_empty_window_after_an_open_page_waits_for_it() {
        let mut checkpoints = adopted();
        let page = read(&mut checkpoints, 1);
        checkpoints.window_read(&[SHARD], &at(2));
        checkpoints.window_read(&[SHARD], &at(3));
        assert_eq!(checkpoints.checkpoint(SHARD), None);
        checkpoints.settle(SHARD, page);
        assert_eq!(checkpoints.checkpoint(SHARD), Some(&at(3)));
    }

    #[test]
    fn what_is_left_to_the_next_owner_holds_the_checkpoint_and_no_hand_over() {
        let mut checkpoints = adopted();
        let page = read(&mut checkpoints, 2);
        checkpoints.window_read(&[SHARD], &at(2));
        checkpoints.leave(SHARD, page);
        assert!(!checkpoints.is_settled(SHARD), "the other one is under way");
        checkpoints.settle(SHARD, page);
        assert!(checkpoints.is_settled(SHARD));
        assert_eq!(checkpoints.checkpoint(SHARD), None);
    }

    #[test]
    fn what_settles_after_the_shard_has_gone_changes_nothing() {
        let mut checkpoints = adopted();
        let page = read(&mut checkpoints, 1);
        checkpoints.forget_shard(SHARD);
        checkpoints.settle(SHARD, page);
        assert_eq!(checkpoints.take_moved(), []);
    }
}
