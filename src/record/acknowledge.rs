//! What the dispatcher is told of entries that are recorded.

use std::time::Instant;

use super::Part;
use crate::flow::entry::{Change, Written};
use crate::flow::input::{Recorded, RecordedKind};

/// What the dispatcher is told of a part of a batch that was recorded at `now`.
pub(super) fn acknowledge(
    part: &Part,
    written: &Written,
    now: Instant,
) -> impl Iterator<Item = Recorded> {
    part.iter().zip(part.pages()).map(move |(entry, page)| {
        let kind = if written.lost.contains(&entry.shard) {
            RecordedKind::Fenced
        } else {
            kind_of(&entry.change, now)
        };
        Recorded {
            key: entry.key,
            lane_id: entry.lane_id,
            shard: entry.shard,
            epoch: entry.epoch,
            page: *page,
            kind,
        }
    })
}

fn kind_of(change: &Change, now: Instant) -> RecordedKind {
    match change {
        Change::Finish { state, .. } => RecordedKind::Finished(*state),
        Change::Retry { delay, .. } => RecordedKind::Retry(now + *delay),
        Change::Spill => RecordedKind::Spilled,
        Change::SupersedeOlder { .. } => RecordedKind::SupersededOlder,
    }
}
