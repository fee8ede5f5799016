//! Entries that the database refuses to record, in whatever form. What was refused is what does
//! not happen: everything else goes on, and the checkpoint does not wait for it.

use std::time::Instant;

use super::Dispatcher;
use super::item::Item;
use crate::flow::entry::{Change, Entry, PageId, ToRecord};
use crate::flow::input::RecordedKind;
use crate::model::{Shard, State};

/// What waits for the end of a delivery in memory that can have no row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rowless {
    pub shard: Shard,
    pub page: Option<PageId>,
}

impl Dispatcher {
    pub(super) fn refused(&mut self, refused: ToRecord, now: Instant) {
        let ToRecord { entry, page } = refused;
        if !self.is_held(entry.shard, entry.epoch) {
            return;
        }
        self.count_recorded(entry.shard);
        self.tell_lane(entry.lane_id, entry.key, RecordedKind::Refused, now);
        match entry.change {
            Change::Spill => self.row_refused(entry, page),
            // The older ones go on as if the newer one were not there.
            Change::SupersedeOlder { .. } => {}
            // It ended, and no record of it can be kept: the audit tells of it.
            Change::Finish { .. } | Change::Retry { .. } => {
                self.settle(entry.key, entry.shard, page);
            }
        }
    }

    /// A delivery in memory does without a row. One that had to leave memory cannot go on.
    fn row_refused(&mut self, entry: Entry, page: Option<PageId>) {
        let goes_on = self.lanes.with(entry.lane_id, |lane| {
            lane.holds(entry.key) || lane.shelf.is_changing(entry.key)
        });
        if goes_on == Some(true) {
            let shard = entry.shard;
            self.rowless.insert(entry.key, Rowless { shard, page });
        } else {
            self.cannot_be_kept(entry, page);
        }
    }

    /// A delivery leaves memory; true if it can have no row.
    pub(super) fn leaves_without_row(&mut self, item: &Item) -> bool {
        let Some(Rowless { page, .. }) = self.rowless.remove(&item.key) else {
            return false;
        };
        if let Some(entry) = self.entry(item, Change::Spill, None) {
            self.cannot_be_kept(entry, page);
        }
        true
    }

    /// It ends, unless its shard is handed over: then the next owner reads it again, as the
    /// checkpoint stays where it is.
    fn cannot_be_kept(&mut self, entry: Entry, page: Option<PageId>) {
        if self.draining.contains_key(&entry.shard) {
            if let Some(page) = page {
                self.checkpoints.leave(entry.shard, page);
            }
            return;
        }
        let reason = "the database refuses to keep it until it can be sent; see the worker's log";
        let change = Change::Finish {
            state: State::PostingError,
            attempts: 0,
            reason: Some(reason.to_owned()),
            had_row: false,
        };
        self.lanes.with(entry.lane_id, |lane| {
            lane.ends_for_want_of_a_row(entry.key);
        });
        self.hand_to_recorder(Entry { change, ..entry }, page);
    }
}
