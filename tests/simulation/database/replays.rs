//! Replays: `store::replays` and the functions of the migration behind it. What an event never
//! caused (`missing`) is not among them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::flow::refill::{Refilled, Waiting};
use posthorn::model::{DeliveryKey, State};
use posthorn::store::replays::Advanced;
use uuid::Uuid;

use super::{Database, Open};

/// A row of `posthorn.replays`.
#[derive(Clone, Debug)]
pub struct Replay {
    pub id: Uuid,
    pub state: ReplayState,
    pub merchant: Option<Box<str>>,
    pub subscription_id: Option<Uuid>,
    pub transaction_id: Option<Box<str>>,
    pub states: Vec<State>,
    pub rate: f64,
    /// Events and subscriptions up to here are done.
    pub after: (Uuid, Uuid),
    /// The first id that is too late.
    pub beyond: Uuid,
    pub next_at: DateTime<Utc>,
    pub opened: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayState {
    Running,
    Paused,
    Done,
    Cancelling,
    Cancelled,
}

impl ReplayState {
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }

    const fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }
}

/// What a replay would open.
struct Found {
    key: DeliveryKey,
    template_id: Option<Uuid>,
    is_hindered: bool,
}

/// `LIMIT 20`.
const AT_ONCE: usize = 20;

impl Database {
    pub fn open_replay(&mut self, replay: Replay) {
        self.write();
        self.replays.push(replay);
    }

    /// False: `posthorn.guard_replay` refuses it.
    pub fn steer_replay(&mut self, id: Uuid, state: ReplayState) -> bool {
        self.write();
        let replay = self.replays.iter_mut().find(|replay| replay.id == id);
        let replay = replay.expect("it was asked for");
        let may = match replay.state {
            same if same == state => true,
            ReplayState::Cancelled => false,
            ReplayState::Done => state == ReplayState::Cancelling,
            ReplayState::Cancelling => state == ReplayState::Cancelled,
            ReplayState::Running | ReplayState::Paused => true,
        };
        if may {
            replay.state = state;
        }
        may
    }

    pub fn is_cancelled(&self, id: Uuid) -> bool {
        let mut all = self.replays.iter();
        all.any(|replay| replay.id == id && replay.state == ReplayState::Cancelled)
    }

    pub fn advance_replays(&mut self) -> Advanced {
        self.write();
        let now = self.now();
        let is_due = |replay: &Replay| match replay.state {
            ReplayState::Running => replay.next_at <= now,
            state => state == ReplayState::Cancelling,
        };
        let places = 0..self.replays.len();
        let mut due: Vec<usize> = places.filter(|at| is_due(&self.replays[*at])).collect();
        due.sort_by_key(|at| self.replays[*at].next_at);
        due.truncate(AT_ONCE);
        let opened = due.into_iter().map(|at| self.advance(at)).sum();
        let running = self.replays.iter().filter(|it| it.state.is_under_way());
        let next = self.replays.iter();
        let next = next.filter(|replay| replay.state == ReplayState::Running);
        let next = next.map(|replay| replay.next_at).min();
        Advanced {
            opened,
            running: running.count() as u64,
            wait: next.map(|at| (at - now).to_std().unwrap_or_default()),
        }
    }

    /// The next batch of the replay at this place.
    fn advance(&mut self, at: usize) -> u64 {
        let now = self.now();
        let replay = self.replays[at].clone();
        if replay.state == ReplayState::Cancelling {
            let is_open = |open: &Open| open.replay_id == Some(replay.id);
            if !self.pending.values().any(is_open) {
                self.replays[at].state = ReplayState::Cancelled;
            }
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is small, and above zero"
        )]
        let budget = ((replay.rate / 20.0).ceil() as usize).clamp(1, 500);
        let page = self.replay_events(&replay, budget.max(50));
        let Some(last) = page.last() else {
            self.replays[at].state = ReplayState::Done;
            return 0;
        };
        let found = page
            .iter()
            .flat_map(|id| self.replay_deliveries(&replay, *id));
        let found = found.filter(|it| (it.key.event_id, it.key.subscription_id) > replay.after);
        let found: Vec<Found> = found.take(budget).collect();
        let reached = match found.last() {
            Some(last) if found.len() >= budget => (last.key.event_id, last.key.subscription_id),
            _ => (*last, Uuid::max()),
        };
        let mut opened = 0;
        for one in found.into_iter().filter(|one| !one.is_hindered) {
            let event = self.event(one.key.event_id);
            let open = Open {
                shard: event.shard,
                transaction_id: event.transaction_id.clone(),
                template_id: one.template_id,
                replay_id: Some(replay.id),
                attempts: 0,
                turned_away: 0,
                due_at: now,
                opened_at: now,
                lane_waits_until: None,
            };
            self.opened.insert(one.key, replay.id);
            self.pending.insert(one.key, open);
            opened += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "it is small")]
        let pause = TimeDelta::from_std(Duration::from_secs_f64(opened as f64 / replay.rate));
        let row = &mut self.replays[at];
        row.opened += opened;
        row.after = reached;
        row.next_at = row.next_at.max(now - TimeDelta::milliseconds(250)) + pause.unwrap();
        opened
    }

    /// `posthorn.replay_events`.
    fn replay_events(&self, replay: &Replay, most: usize) -> Vec<Uuid> {
        let is_entire = replay.after.1 == Uuid::max();
        let is_next = |id: Uuid| {
            id >= replay.after.0 && !(is_entire && id == replay.after.0) && id < replay.beyond
        };
        let mut ids: Vec<Uuid>;
        if replay.states.contains(&State::Delivered) || replay.transaction_id.is_some() {
            let events = self.events.iter().filter(|stored| {
                let event = &stored.event;
                is_next(event.id)
                    && self.is_committed(stored.xid)
                    && fits(replay.merchant.as_deref(), &event.merchant)
                    && fits(replay.transaction_id.as_deref(), &event.transaction_id)
            });
            ids = events.map(|stored| stored.event.id).collect();
            ids.sort_unstable();
        } else {
            let from = DeliveryKey::first(replay.after.0, Uuid::nil());
            let to = DeliveryKey::first(replay.beyond, Uuid::nil());
            let ended = self.ledger.range(from.min(to)..to);
            let ended = ended.filter(|(key, ended)| {
                replay.states.contains(&ended.state)
                    && is_next(key.event_id)
                    && fits(
                        replay.merchant.as_deref(),
                        &self.event(key.event_id).merchant,
                    )
            });
            ids = ended.map(|(key, _)| key.event_id).collect();
            ids.dedup();
        }
        ids.truncate(most);
        ids
    }

    /// `posthorn.replay_deliveries`, of one event.
    fn replay_deliveries(&self, replay: &Replay, event_id: Uuid) -> Vec<Found> {
        let from = DeliveryKey::first(event_id, Uuid::nil());
        let to = DeliveryKey {
            generation: i32::MAX,
            ..DeliveryKey::first(event_id, Uuid::max())
        };
        let mut last: Vec<(DeliveryKey, State)> = Vec::new();
        for (key, ended) in self.ledger.range(from..=to) {
            let is_older =
                |it: &mut (DeliveryKey, State)| it.0.subscription_id == key.subscription_id;
            last.pop_if(is_older);
            last.push((*key, ended.state));
        }
        let wanted = last.into_iter().filter_map(|(key, state)| {
            if !replay.states.contains(&state) {
                return None;
            }
            let brought = self.find_brought(key.subscription_id);
            let template_id = brought.map(|brought| brought.template_id);
            let id = template_id.unwrap_or(key.subscription_id);
            let subscription = self.subscriptions.get(&id)?;
            if replay.subscription_id.is_some_and(|only| only != id) {
                return None;
            }
            let is_of_it = |other: &DeliveryKey| other.subscription_id == key.subscription_id;
            let mut open = self.pending.range(from..=to).map(|(other, _)| other);
            let is_hindered = open.any(is_of_it)
                || !subscription.enabled
                || brought.is_some_and(|brought| brought.ended);
            let key = DeliveryKey {
                generation: key.generation + 1,
                ..key
            };
            Some(Found {
                key,
                template_id,
                is_hindered,
            })
        });
        wanted.collect()
    }

    pub fn count_replays(&self, worker: Uuid) -> Vec<Waiting> {
        let shards = self.shards_of(worker);
        let waiting = self.count_waiting(&shards).into_iter();
        let replays = waiting.filter(|waiting| waiting.replays);
        replays
            .map(|waiting| Waiting {
                told_to_wait: None,
                ..waiting
            })
            .collect()
    }

    pub(super) fn is_cancelling(&self, id: Uuid) -> bool {
        let replay = self.replays.iter().find(|replay| replay.id == id);
        replay.is_some_and(|replay| replay.state == ReplayState::Cancelling)
    }

    pub fn find_withdrawn(&self, worker: Uuid, limit: usize) -> Vec<Refilled> {
        let shards = self.shards_of(worker);
        let cancelling = self.replays.iter();
        let cancelling = cancelling.filter(|replay| replay.state == ReplayState::Cancelling);
        let of_one = |replay: &Replay| {
            let id = Some(replay.id);
            let rows = self.pending.iter();
            let rows =
                rows.filter(|(_, open)| open.replay_id == id && shards.contains(&open.shard));
            let rows = rows.take(limit).map(|(key, open)| Refilled {
                endpoint: None,
                ended: false,
                cancelled: true,
                turned_away: 0,
                ..self.refilled(key, open)
            });
            rows.collect::<Vec<_>>()
        };
        cancelling.flat_map(of_one).collect()
    }
}

fn fits(wanted: Option<&str>, text: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == text)
}
