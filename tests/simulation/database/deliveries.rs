//! The ledger, and what is written to it and to what waits: `store::{ledger, known}`.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::flow::entry::{Change, Entry, Written};
use posthorn::model::{DeliveryKey, Shard, State};
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
    /// Of a transaction's own address: its template.
    pub template_id: Option<Uuid>,
    pub replay_id: Option<Uuid>,
    pub attempts: u32,
    pub turned_away: u32,
    pub due_at: DateTime<Utc>,
    pub opened_at: DateTime<Utc>,
    pub lane_waits_until: Option<DateTime<Utc>>,
}

/// Why nothing of a batch was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// A rule is against a row of it.
    Refused,
    /// A row of it is there.
    Repeated,
}

impl Database {
    /// `write_batch`. All its parts see the rows as they were before it; what ends does so
    /// before what takes another's place.
    pub fn write_batch(
        &mut self,
        owner: Uuid,
        entries: &[Entry],
        again: bool,
    ) -> Result<Written, Unwritten> {
        self.write();
        self.check(owner, entries, again)?;
        let now = self.now();
        let mut written = Written::default();
        let supersedes = |entry: &Entry| matches!(entry.change, Change::SupersedeOlder { .. });
        let before = if entries.iter().any(supersedes) {
            self.pending.clone()
        } else {
            BTreeMap::new()
        };
        let (newer, others): (Vec<&Entry>, Vec<&Entry>) =
            entries.iter().partition(|entry| supersedes(entry));
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
                            && !key.is_replay()
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
        Ok(written)
    }

    /// The tables' keys and rules; of what is fenced off no row is made.
    fn check(&self, owner: Uuid, entries: &[Entry], again: bool) -> Result<(), Unwritten> {
        let held = |entry: &&Entry| self.is_held(owner, entry.shard, entry.epoch);
        for entry in entries.iter().filter(held) {
            if self.rules.refuse(entry) {
                return Err(Unwritten::Refused);
            }
            let attempt = entry.attempt.as_ref();
            let is_there = attempt
                .is_some_and(|attempt| self.attempts.contains(&(entry.key, attempt.number)))
                || matches!(entry.change, Change::Finish { .. })
                    && self.ledger.contains_key(&entry.key);
            if is_there && !again {
                return Err(Unwritten::Repeated);
            }
        }
        Ok(())
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
        if self.ledger.contains_key(&key) {
            return;
        }
        match self.pending.get_mut(&key) {
            None => drop(self.pending.insert(key, open)),
            Some(before) if open.attempts > before.attempts => {
                *before = Open {
                    template_id: before.template_id,
                    replay_id: before.replay_id,
                    opened_at: before.opened_at,
                    ..open
                };
            }
            Some(_) => {}
        }
    }

    pub fn find_known_deliveries(&self, events: &[Uuid]) -> HashSet<DeliveryKey> {
        let of_one = |id: &Uuid| {
            let first = DeliveryKey::first(*id, Uuid::nil());
            let all = first..=DeliveryKey::first(*id, Uuid::max());
            let ended = self.ledger.range(all.clone()).map(|(key, _)| *key);
            ended.chain(self.pending.range(all).map(|(key, _)| *key))
        };
        let known = events.iter().flat_map(of_one);
        known.filter(|key| !key.is_replay()).collect()
    }
}

/// The row of a delivery that was not tried yet.
fn untried(entry: &Entry, now: DateTime<Utc>) -> Open {
    Open {
        shard: entry.shard,
        transaction_id: entry.transaction_id.clone(),
        template_id: entry.template_id(),
        replay_id: None,
        attempts: 0,
        turned_away: 0,
        due_at: now,
        opened_at: now,
        lane_waits_until: None,
    }
}
