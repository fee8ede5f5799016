//! What waits, and when it is due: `store::pending`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use posthorn::flow::refill::{NextDue, RefillRequest, Refilled, Waiting};
use posthorn::model::{DeliveryKey, Endpoint, Event, Shard};
use uuid::Uuid;

use super::{Database, Open};

impl Database {
    /// `refill_lanes`, with its transaction's `now()`.
    pub fn refill_lanes(
        &self,
        lanes: &[RefillRequest],
        held: &[DeliveryKey],
        now: DateTime<Utc>,
    ) -> Vec<Refilled> {
        let mut found = Vec::new();
        for lane in lanes {
            for (replays, room) in [(false, lane.room), (true, lane.replay_room)] {
                let mut due: Vec<(&DeliveryKey, &Open)> = self
                    .waiting_for(lane.shard, lane.lane_id, replays)
                    .filter(|(key, open)| {
                        (lane.not_due_too || open.due_at <= now)
                            && !held.contains(key)
                            && !(lane.heads_only && self.has_older(key, open))
                    })
                    .collect();
                due.sort_by_key(|(key, open)| (open.due_at, key.event_id));
                due.truncate(usize::try_from(room).unwrap());
                found.extend(due);
            }
        }
        found.sort_by_key(|(key, open)| (open.due_at, key.event_id));
        let found = found.into_iter();
        found.map(|(key, open)| self.refilled(key, open)).collect()
    }

    pub(super) fn refilled(&self, key: &DeliveryKey, open: &Open) -> Refilled {
        let brought = self.find_brought(key.subscription_id);
        let brought = brought.filter(|_| open.template_id.is_some());
        Refilled {
            lane_id: lane_of(key, open),
            key: *key,
            endpoint: open.template_id.map(|template_id| Endpoint {
                template_id,
                url: brought.and_then(|brought| brought.url.clone()),
                method: None,
                success_body: None,
            }),
            ended: open.template_id.is_some() && brought.is_none_or(|brought| brought.ended),
            cancelled: open.replay_id.is_some_and(|id| self.is_cancelling(id)),
            event: Arc::new(self.event(key.event_id).clone()),
            attempts: open.attempts,
            turned_away: open.turned_away,
            opened_at: open.opened_at,
        }
    }

    /// A replay waits for all that is older, and others for no replay.
    fn has_older(&self, key: &DeliveryKey, open: &Open) -> bool {
        self.pending.iter().any(|(older, its)| {
            older.subscription_id == key.subscription_id
                && its.transaction_id == open.transaction_id
                && older.event_id < key.event_id
                && (key.is_replay() || !older.is_replay())
        })
    }

    /// `find_next_due`, in the refill's transaction.
    pub fn find_next_due(
        &self,
        lanes: &[(Shard, Uuid)],
        now: DateTime<Utc>,
    ) -> BTreeMap<Uuid, NextDue> {
        let of_lane = |shard: Shard, lane_id: Uuid, replays: bool| {
            let later = self.waiting_for(shard, lane_id, replays);
            let later = later.map(|(_, open)| open.due_at).filter(|due| *due > now);
            let due_at = later.min()?;
            Some((due_at - self.now()).to_std().unwrap_or_default())
        };
        let next = lanes.iter().map(|(shard, lane_id)| {
            let next = NextDue {
                deliveries: of_lane(*shard, *lane_id, false),
                replays: of_lane(*shard, *lane_id, true),
            };
            (*lane_id, next)
        });
        next.collect()
    }

    pub fn count_waiting(&self, shards: &[Shard]) -> Vec<Waiting> {
        let mut counts: BTreeMap<(Shard, Uuid, bool), (u64, DateTime<Utc>)> = BTreeMap::new();
        let mut told: BTreeMap<Uuid, DateTime<Utc>> = BTreeMap::new();
        for (key, open) in &self.pending {
            if shards.contains(&open.shard) {
                let lane_id = lane_of(key, open);
                let lane = (open.shard, lane_id, key.is_replay());
                let (rows, first) = counts.entry(lane).or_insert((0, open.due_at));
                *rows += 1;
                *first = open.due_at.min(*first);
                if let Some(until) = open.lane_waits_until {
                    let latest = told.entry(lane_id).or_insert(until);
                    *latest = until.max(*latest);
                }
            }
        }
        let now = self.now();
        let waiting = counts
            .into_iter()
            .map(|((shard, lane_id, replays), (rows, first))| Waiting {
                shard,
                lane_id,
                replays,
                rows,
                due_in: (first - now).to_std().unwrap_or_default(),
                told_to_wait: told
                    .get(&lane_id)
                    .and_then(|until| (*until - now).to_std().ok()),
            });
        waiting.collect()
    }

    pub fn event(&self, id: Uuid) -> &Event {
        // What is looked up is young, as a rule.
        let stored = self.events.iter().rfind(|stored| stored.event.id == id);
        &stored.expect("an open delivery has its event").event
    }

    fn waiting_for(
        &self,
        shard: Shard,
        lane_id: Uuid,
        replays: bool,
    ) -> impl Iterator<Item = (&DeliveryKey, &Open)> {
        self.pending.iter().filter(move |(key, open)| {
            open.shard == shard && lane_of(key, open) == lane_id && key.is_replay() == replays
        })
    }
}

fn lane_of(key: &DeliveryKey, open: &Open) -> Uuid {
    open.template_id.unwrap_or(key.subscription_id)
}
