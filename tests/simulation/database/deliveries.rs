//! The ledger and what waits: `store::{ledger, pending, known}`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::flow::entry::{Change, Entry, Written};
use posthorn::flow::refill::{RefillRequest, Refilled, Waiting};
use posthorn::model::{DeliveryKey, Event, Shard, State};
use uuid::Uuid;

use super::Database;

/// A row of `posthorn.deliveries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub state: State,
    pub attempts: u32,
}

/// A row of `posthorn.pending_deliveries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub shard: Shard,
    pub transaction_id: Box<str>,
    pub attempts: u32,
    pub turned_away: u32,
    pub due_at: DateTime<Utc>,
    pub lane_waits_until: Option<DateTime<Utc>>,
}

impl Database {
    /// `write_batch`. All its parts see the rows as they were before it; what ends does so
    /// before what takes another's place.
    pub fn write_batch(&mut self, owner: Uuid, entries: &[Entry]) -> Written {
        self.write();
        let now = self.now();
        let mut written = Written::default();
        let replaces = |entry: &Entry| matches!(entry.change, Change::SupersedeOlder { .. });
        let before = if entries.iter().any(replaces) {
            self.pending.clone()
        } else {
            BTreeMap::new()
        };
        let (newer, others): (Vec<&Entry>, Vec<&Entry>) =
            entries.iter().partition(|entry| replaces(entry));
        for entry in others.into_iter().chain(newer) {
            if !self.is_held(owner, entry.shard, entry.epoch) {
                written.lost.insert(entry.shard);
                continue;
            }
            if let Some(attempt) = &entry.attempt {
                self.attempts.insert((entry.key, attempt.number));
            }
            match &entry.change {
                Change::Finish {
                    state,
                    attempts,
                    had_row,
                    ..
                } => {
                    let ended = Ended {
                        state: *state,
                        attempts: *attempts,
                    };
                    written.conflicts += u64::from(!self.end(entry.key, ended));
                    if *had_row {
                        self.pending.remove(&entry.key);
                    }
                }
                Change::Retry {
                    attempts,
                    turned_away,
                    told_to_wait,
                    delay,
                    ..
                } => {
                    let due_at = now + TimeDelta::from_std(*delay).unwrap();
                    let open = Open {
                        attempts: *attempts,
                        turned_away: *turned_away,
                        due_at,
                        lane_waits_until: told_to_wait.then_some(due_at),
                        ..untried(entry, now)
                    };
                    self.wait(entry.key, open);
                }
                Change::Spill => self.wait(entry.key, untried(entry, now)),
                Change::SupersedeOlder { except } => {
                    let older = before.iter().filter(|(key, open)| {
                        key.subscription_id == entry.key.subscription_id
                            && open.transaction_id == entry.transaction_id
                            && key.event_id < entry.key.event_id
                            && !except.contains(key)
                    });
                    for (key, open) in older {
                        self.pending.remove(key);
                        self.end(
                            *key,
                            Ended {
                                state: State::Superseded,
                                attempts: open.attempts,
                            },
                        );
                    }
                }
            }
        }
        written
    }

    /// ON CONFLICT DO NOTHING: false if it has ended before.
    fn end(&mut self, key: DeliveryKey, ended: Ended) -> bool {
        let is_new = !self.ledger.contains_key(&key);
        if is_new {
            self.ledger.insert(key, ended);
        }
        is_new
    }

    fn wait(&mut self, key: DeliveryKey, open: Open) {
        let before = self.pending.get(&key);
        if !self.ledger.contains_key(&key)
            && before.is_none_or(|before| open.attempts > before.attempts)
        {
            self.pending.insert(key, open);
        }
    }

    /// `refill_lanes`, with its transaction's `now()`.
    pub fn refill_lanes(
        &self,
        lanes: &[RefillRequest],
        held: &[DeliveryKey],
        now: DateTime<Utc>,
    ) -> Vec<Refilled> {
        let mut found = Vec::new();
        for lane in lanes {
            let mut due: Vec<(&DeliveryKey, &Open)> = self
                .waiting_for(lane.shard, lane.lane_id)
                .filter(|(key, open)| {
                    (lane.not_due_too || open.due_at <= now)
                        && !held.contains(key)
                        && !(lane.heads_only && self.has_older(key, open))
                })
                .collect();
            due.sort_by_key(|(key, open)| (open.due_at, key.event_id));
            let room = usize::try_from(lane.room).unwrap();
            found.extend(due.into_iter().take(room).map(|(key, open)| {
                let refilled = Refilled {
                    lane_id: lane.lane_id,
                    key: *key,
                    endpoint: None,
                    ended: false,
                    event: Arc::new(self.event(key.event_id).clone()),
                    attempts: open.attempts,
                    turned_away: open.turned_away,
                    opened_at: self.event(key.event_id).created_at,
                };
                (open.due_at, refilled)
            }));
        }
        found.sort_by_key(|(due_at, refilled)| (*due_at, refilled.key.event_id));
        found.into_iter().map(|(_, refilled)| refilled).collect()
    }

    fn has_older(&self, key: &DeliveryKey, open: &Open) -> bool {
        self.pending.iter().any(|(older, its)| {
            older.subscription_id == key.subscription_id
                && its.transaction_id == open.transaction_id
                && older.event_id < key.event_id
        })
    }

    /// `find_next_due`, in the refill's transaction.
    pub fn find_next_due(
        &self,
        lanes: &[(Shard, Uuid)],
        now: DateTime<Utc>,
    ) -> BTreeMap<Uuid, Duration> {
        let mut next = BTreeMap::new();
        for (shard, lane_id) in lanes {
            let later = self.waiting_for(*shard, *lane_id);
            let later = later.map(|(_, open)| open.due_at).filter(|due| *due > now);
            if let Some(due_at) = later.min() {
                let due_in = (due_at - self.now()).to_std().unwrap_or_default();
                next.insert(*lane_id, due_in);
            }
        }
        next
    }

    pub fn count_waiting(&self, shards: &[Shard]) -> Vec<Waiting> {
        let mut counts: BTreeMap<(Shard, Uuid), (u64, DateTime<Utc>)> = BTreeMap::new();
        let mut told: BTreeMap<Uuid, DateTime<Utc>> = BTreeMap::new();
        for (key, open) in &self.pending {
            if shards.contains(&open.shard) {
                let lane = (open.shard, key.subscription_id);
                let (rows, first) = counts.entry(lane).or_insert((0, open.due_at));
                *rows += 1;
                *first = open.due_at.min(*first);
                if let Some(until) = open.lane_waits_until {
                    let latest = told.entry(key.subscription_id).or_insert(until);
                    *latest = until.max(*latest);
                }
            }
        }
        let now = self.now();
        let waiting = counts
            .into_iter()
            .map(|((shard, lane_id), (rows, first))| Waiting {
                shard,
                lane_id,
                replays: false,
                rows,
                due_in: (first - now).to_std().unwrap_or_default(),
                told_to_wait: told
                    .get(&lane_id)
                    .and_then(|until| (*until - now).to_std().ok()),
            });
        waiting.collect()
    }

    pub fn find_known_deliveries(&self, events: &[Uuid]) -> HashSet<DeliveryKey> {
        let of_one = |id: &Uuid| {
            let first = DeliveryKey::first(*id, Uuid::nil());
            let all = first..=DeliveryKey::first(*id, Uuid::max());
            let ended = self.ledger.range(all.clone()).map(|(key, _)| *key);
            ended.chain(self.pending.range(all).map(|(key, _)| *key))
        };
        events.iter().flat_map(of_one).collect()
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
    ) -> impl Iterator<Item = (&DeliveryKey, &Open)> {
        self.pending
            .iter()
            .filter(move |(key, open)| open.shard == shard && key.subscription_id == lane_id)
    }
}

/// The row of a delivery that was not tried yet.
fn untried(entry: &Entry, now: DateTime<Utc>) -> Open {
    Open {
        shard: entry.shard,
        transaction_id: entry.transaction_id.clone(),
        attempts: 0,
        turned_away: 0,
        due_at: now,
        lane_waits_until: None,
    }
}
