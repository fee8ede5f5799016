//! What comes back: what lands, what is recorded and what is refilled.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use tracing::{error, warn};
use uuid::Uuid;

use super::announce::Whose;
use super::item::{Item, RowState};
use super::shelf::Due;
use super::{Dispatcher, lane};
use crate::crash::Point;
use crate::flow::entry::{Attempt, Change, Entry, PageId, ToRecord};
use crate::flow::input::{Failed, Landed, Recorded, RecordedKind, Tried};
use crate::flow::refill::{LaneRefill, Refilled};
use crate::model::{DeliveryKey, OutcomeClass, Shard, State, Verdict};
use crate::plan::Next;

/// How soon to ask again when the database did not answer a refill.
const REFILL_AGAIN: Duration = Duration::from_secs(1);

impl Dispatcher {
    pub(super) fn land(&mut self, landed: Landed, now: Instant) {
        let Landed {
            key,
            lane_id: id,
            shard,
            epoch,
            took,
            result,
        } = landed;
        if !self.is_held(shard, epoch) {
            return;
        }
        let cut_off = self.sends.remove(&key);
        let answered = result.as_ref().ok().map(|tried| lane::Answered {
            verdict: tried.verdict,
            refused: tried.refused,
            told_to_wait: tried.told_to_wait,
            took,
        });
        let landed = self.lanes.with(id, |lane| lane.landed(key, answered, now));
        let landed = landed.flatten();
        debug_assert_eq!(
            landed.is_some(),
            cut_off.is_some(),
            "the lane and the dispatcher have different deliveries in the air"
        );
        // It was cut off, and has its row.
        let Some(landed) = landed else {
            return;
        };
        self.lanes.look_at(id);
        let lane::Landing { item, outdated } = landed;
        if answered.is_some_and(|answered| answered.verdict == Verdict::Disable) {
            self.disable(&item);
        }
        match result {
            Ok(tried) => self.tried(&item, outdated, tried, now),
            Err(failed) => {
                if matches!(failed, Failed::Panicked) {
                    error!(event = %key.event_id, subscription = %id, "sending this delivery panicked");
                }
                let reason = Some(failed.to_string());
                self.finish(&item, State::PostingError, item.attempts, reason, None);
            }
        }
    }

    /// An attempt was made: what the delivery becomes.
    fn tried(&mut self, item: &Item, outdated: bool, tried: Tried, now: Instant) {
        let Tried {
            attempt,
            told_to_wait,
            next,
            again,
            ..
        } = tried;
        self.out.metrics.attempt(attempt.outcome, attempt.duration);
        if again {
            self.out.metrics.sent_again();
        }
        self.announce(item.lane_id, &attempt, now);
        let attempts = attempt.number;
        match next {
            Next::Delivered => {
                self.finish(item, State::Delivered, attempts, None, Some(attempt));
            }
            Next::RetryIn(_) if outdated => {
                self.finish_superseded(item, attempts, Some(attempt));
            }
            Next::RetryIn(delay) => {
                self.retry(item, delay, told_to_wait.is_some(), attempt, now);
            }
            Next::PostingError(ending) => {
                let reason = format!("{ending}; the last: {}", attempt.reason);
                let state = State::PostingError;
                self.finish(item, state, attempts, Some(reason), Some(attempt));
            }
        }
    }

    /// Tells people of an endpoint that keeps failing, and of one that answers again.
    fn announce(&mut self, id: Uuid, attempt: &Attempt, now: Instant) {
        let (Some(is_failing), Some(subscription)) = (
            self.lanes.with(id, |lane| lane.is_failing()),
            self.routes.get(id),
        ) else {
            return;
        };
        let whose = Whose {
            merchant: &subscription.merchant,
            subscription: &subscription.name,
        };
        if !is_failing {
            self.announcer.answers(id, whose, now);
        } else if attempt.outcome != OutcomeClass::Ok {
            self.announcer.fails(id, whose, attempt, now);
        }
    }

    pub(super) fn finish(
        &mut self,
        item: &Item,
        state: State,
        attempts: u32,
        reason: Option<String>,
        attempt: Option<Attempt>,
    ) {
        let had_row = item.row != RowState::None;
        if had_row {
            self.lanes
                .with(item.lane_id, |lane| lane.shelf.row_changes(item.key));
        }
        self.record(
            item,
            item.page,
            Change::Finish {
                state,
                attempts,
                reason,
                had_row,
            },
            attempt,
        );
    }

    pub(super) fn finish_superseded(
        &mut self,
        item: &Item,
        attempts: u32,
        attempt: Option<Attempt>,
    ) {
        let reason = "a newer event of the transaction took its place".to_owned();
        self.finish(item, State::Superseded, attempts, Some(reason), attempt);
    }

    fn retry(
        &mut self,
        item: &Item,
        delay: Duration,
        told_to_wait: bool,
        attempt: Attempt,
        now: Instant,
    ) {
        self.out.metrics.retry_planned();
        let id = item.lane_id;
        let followers = self.lanes.with(id, |lane| {
            // Also one that has no row yet: it may be there long before we are told.
            lane.shelf.row_changes(item.key);
            lane.await_retry(item)
        });
        debug_assert!(followers.is_some(), "it has just landed in this lane");
        let (attempts, reason) = (attempt.number, attempt.reason.clone());
        self.record(
            item,
            item.page,
            Change::Retry {
                attempts,
                turned_away: item.turned_away + u32::from(told_to_wait),
                told_to_wait,
                delay,
                reason,
            },
            Some(attempt),
        );
        for follower in followers.iter().flatten() {
            self.spill(follower, now);
        }
    }

    /// Gives a delivery its row, if it has none yet.
    pub(super) fn spill(&mut self, item: &Item, now: Instant) {
        if item.row == RowState::None {
            Point::Spill.pass();
            self.out.metrics.spilled(1);
            self.record(item, item.page, Change::Spill, None);
        } else if !self.leaves_without_row(item) {
            self.lanes.with(item.lane_id, |lane| lane.shelf.due_at(now));
        }
    }

    pub(super) fn record(
        &mut self,
        item: &Item,
        page: Option<PageId>,
        change: Change,
        attempt: Option<Attempt>,
    ) {
        if let Some(entry) = self.entry(item, change, attempt) {
            self.hand_to_recorder(entry, page);
        }
    }

    /// What is to be recorded of a delivery; none if its shard is not held any more.
    pub(super) fn entry(
        &self,
        item: &Item,
        change: Change,
        attempt: Option<Attempt>,
    ) -> Option<Entry> {
        let shard = item.event.shard;
        Some(Entry {
            key: item.key,
            lane_id: item.lane_id,
            shard,
            epoch: self.owned.get(&shard)?.epoch,
            transaction_id: item.event.transaction_id.clone(),
            change,
            attempt,
        })
    }

    pub(super) fn hand_to_recorder(&mut self, entry: Entry, page: Option<PageId>) {
        debug_assert!(self.is_held(entry.shard, entry.epoch), "{:?}", entry.key);
        if let Some(owned) = self.owned.get_mut(&entry.shard) {
            owned.unrecorded += 1;
        }
        self.lanes
            .with(entry.lane_id, |lane| lane.shelf.handed_to_recorder());
        self.out.backlog.add(&entry);
        if self.out.recorder.send(ToRecord { entry, page }).is_err() {
            error!("the recorder has ended before the dispatcher; outcomes are lost");
        }
    }

    /// The recorder has dealt with an entry of this shard, which is held under its epoch.
    pub(super) fn count_recorded(&mut self, shard: Shard) {
        if let Some(owned) = self.owned.get_mut(&shard) {
            debug_assert!(owned.unrecorded > 0, "{shard:?} has nothing to be recorded");
            owned.unrecorded = owned.unrecorded.saturating_sub(1);
        }
    }

    /// The recorder has dealt with an entry of this lane.
    pub(super) fn tell_lane(
        &mut self,
        lane_id: Uuid,
        key: DeliveryKey,
        kind: RecordedKind,
        now: Instant,
    ) {
        self.lanes.with(lane_id, |lane| {
            debug_assert!(lane.shelf.is_unrecorded(), "{key:?} was not counted");
            lane.shelf.recorded(key, kind);
            lane.recorded(key, kind, now);
        });
        self.lanes.look_at(lane_id);
    }

    /// No checkpoint waits for the delivery any more.
    pub(super) fn settle(&mut self, key: DeliveryKey, shard: Shard, page: Option<PageId>) {
        let rowless = self.rowless.remove(&key).and_then(|rowless| rowless.page);
        for page in page.into_iter().chain(rowless) {
            self.checkpoints.settle(shard, page);
        }
    }

    pub(super) fn recorded(&mut self, recorded: &[Recorded], now: Instant) {
        let pressure = self.pressure();
        let mut spilled: BTreeMap<Uuid, HashSet<DeliveryKey>> = BTreeMap::new();
        for Recorded {
            key,
            lane_id: id,
            shard,
            epoch,
            page,
            kind,
        } in recorded
        {
            if let RecordedKind::Finished(state) = kind {
                self.out.metrics.finished(*state);
            }
            if !self.is_held(*shard, *epoch) {
                continue;
            }
            self.count_recorded(*shard);
            if *kind != RecordedKind::Fenced {
                self.settle(*key, *shard, *page);
            }
            self.tell_lane(*id, *key, *kind, now);
            if *kind == RecordedKind::Spilled {
                spilled.entry(*id).or_default().insert(*key);
            }
        }
        for (id, keys) in spilled {
            self.lanes
                .with(id, |lane| lane.rows_recorded(&keys, pressure, now));
        }
        self.tell_of_fenced(recorded);
    }

    /// Says in the log and the metrics what was not recorded.
    fn tell_of_fenced(&self, recorded: &[Recorded]) {
        let fenced = || {
            recorded
                .iter()
                .filter(|entry| entry.kind == RecordedKind::Fenced)
        };
        let lost: BTreeSet<Shard> = fenced().map(|entry| entry.shard).collect();
        if lost.is_empty() {
            return;
        }
        let entries = fenced().count();
        self.out.metrics.fenced_off(entries as u64);
        warn!(
            ?lost,
            entries, "outcomes of shards that another worker owns were not written"
        );
    }

    pub(super) fn refilled(&mut self, answers: Vec<LaneRefill>, now: Instant) {
        assert!(self.refills > 0, "nobody asked for these rows");
        self.refills -= 1;
        for LaneRefill {
            lane_id: id,
            shard,
            epoch,
            found,
            next_due_in,
        } in answers
        {
            if !self.is_held(shard, epoch) {
                continue;
            }
            let is_asked = self.lanes.with(id, |lane| lane.shelf.is_refilling());
            debug_assert_eq!(is_asked, Some(true), "lane {id} did not ask for rows");
            self.lanes.look_at(id);
            let Some(found) = found else {
                self.lanes
                    .with(id, |lane| lane.refill_failed(now + REFILL_AGAIN));
                continue;
            };
            self.out.metrics.refilled(found.len() as u64);
            let ended: BTreeSet<Uuid> = found
                .iter()
                .filter(|row| row.ended)
                .map(|row| row.key.subscription_id)
                .collect();
            let cancelled = found.iter().filter(|row| row.cancelled).cloned();
            let cancelled: Vec<Refilled> = cancelled.collect();
            let items = found.into_iter().map(|row| Item::of_row(row, now));
            let items: Vec<Item> = items.collect();
            let at = |due_in: Option<Duration>| due_in.map(|due_in| now + due_in);
            let next_due = Due {
                deliveries: at(next_due_in.deliveries),
                replays: at(next_due_in.replays),
            };
            self.lanes
                .with(id, |lane| lane.refilled(items, next_due, now));
            for subscription_id in ended {
                self.withdraw(id, subscription_id);
            }
            self.withdraw_rows(cancelled, now);
        }
    }
}
