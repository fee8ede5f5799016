//! What is written of deliveries.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use posthorn::flow::entry::{Attempt, Change, Entry, ToRecord};
use posthorn::model::{DeliveryKey, Epoch, Event, OutcomeClass, Shard, State};
use posthorn::record::Batch;
use posthorn::store::StoreError;
use posthorn::store::ledger::write_batch;
use uuid::Uuid;

use super::{Both, LANES, same};

/// Event, subscription, generation, state, attempts, template, replay, and whether it is due.
type Row = (
    Uuid,
    Uuid,
    i32,
    String,
    i32,
    Option<Uuid>,
    Option<Uuid>,
    bool,
);

impl Both {
    /// A batch of one owner, past or present, with whatever may stand in one.
    pub(super) async fn write(&mut self) -> Result<(), String> {
        let owner = self.chance.one_of(&self.workers);
        let mut batch = Batch::default();
        for _ in 0..self.chance.below(6) {
            if let Some(entry) = self.entry(owner) {
                // What belongs into the next batch is left out.
                batch.add(ToRecord { entry, page: None });
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let what = format!("{:?}", batch.entries);
        let mut ours = self.model.write_batch(owner, &batch.entries, false);
        let mut theirs = write_batch(&self.pool, owner, &batch.entries, false).await;
        let repeated = theirs.as_ref().is_err_and(StoreError::is_repetition);
        same("a repetition", ours.is_err(), repeated)
            .map_err(|how| format!("{how}; after {what}"))?;
        if repeated {
            // As the recorder does: looks for rows that are there only when it has to.
            ours = self.model.write_batch(owner, &batch.entries, true);
            theirs = write_batch(&self.pool, owner, &batch.entries, true).await;
        }
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        let sorted = |shards: &HashSet<Shard>| shards.iter().copied().collect::<BTreeSet<_>>();
        same("the shards lost", sorted(&ours.lost), sorted(&theirs.lost))?;
        same("conflicts", ours.conflicts, theirs.conflicts)?;
        self.rows()
            .await
            .map_err(|how| format!("{how}; after {what}"))
    }

    fn entry(&mut self, owner: Uuid) -> Option<Entry> {
        if self.events.is_empty() {
            return None;
        }
        let (event, key, lane_id) = self.delivery();
        let owners = self.epochs.get(&event.shard)?.iter();
        let epochs: Vec<Epoch> = owners
            .filter(|(worker, _)| *worker == owner)
            .map(|(_, epoch)| *epoch)
            .collect();
        // One epoch for a shard in a batch, as a worker has it: the newest or, at times, the
        // first.
        let epoch = if self.model.elapsed.num_milliseconds() % 3 == 0 {
            *epochs.first()?
        } else {
            *epochs.last()?
        };
        let attempts = u32::try_from(self.chance.below(4)).unwrap();
        // What a replay opened takes nobody's place.
        let kinds = if key.is_replay() { 3 } else { 4 };
        let change = match self.chance.below(kinds) {
            0 => {
                let states = [
                    State::Delivered,
                    State::PostingError,
                    State::Superseded,
                    State::Cancelled,
                ];
                let state = self.chance.one_of(&states);
                Change::Finish {
                    state,
                    attempts: attempts.max(1),
                    reason: (state != State::Delivered).then(|| "by chance".to_owned()),
                    had_row: self.chance.happens(0.5),
                }
            }
            1 => Change::Retry {
                attempts: attempts + 1,
                turned_away: attempts,
                told_to_wait: self.chance.happens(0.5),
                delay: self
                    .chance
                    .one_of(&[Duration::ZERO, Duration::from_hours(1)]),
                reason: "by chance".to_owned(),
            },
            2 => Change::Spill,
            _ => Change::SupersedeOlder {
                except: self
                    .events
                    .iter()
                    .filter(|_| self.chance.happens(0.1))
                    .map(|event| DeliveryKey::first(event.id, key.subscription_id))
                    .collect(),
            },
        };
        let attempt = self.chance.happens(0.5).then(|| Attempt {
            number: attempts + 1,
            started_at: self.model.now(),
            duration: Duration::from_millis(1),
            outcome: OutcomeClass::Ok,
            http_status: Some(200),
            reason: "200 OK".to_owned(),
            body: None,
            revision: 1,
            sent: None,
        });
        Some(Entry {
            key,
            lane_id,
            shard: event.shard,
            epoch,
            transaction_id: event.transaction_id,
            change,
            attempt,
        })
    }

    /// One of any event that was read, for a subscription or an address of its transaction, or
    /// one that a replay has opened; with its lane.
    fn delivery(&mut self) -> (Event, DeliveryKey, Uuid) {
        let replays = self.model.pending.iter().filter(|(key, _)| key.is_replay());
        let replays: Vec<(DeliveryKey, Option<Uuid>)> = replays
            .map(|(key, open)| (*key, open.template_id))
            .collect();
        if !replays.is_empty() && self.chance.happens(0.4) {
            let (key, template_id) = self.chance.one_of(&replays);
            let event = self.model.event(key.event_id).clone();
            let lane_id = template_id.unwrap_or(key.subscription_id);
            return (event, key, lane_id);
        }
        let event = self.events[self.chance.below(self.events.len())].clone();
        let lanes = self.lanes.iter();
        let of_merchant = lanes.filter(|(_, _, merchant)| **merchant == *event.merchant);
        let of_merchant = of_merchant.take(LANES.len() - 1);
        let mut ids: Vec<(Uuid, Uuid)> = of_merchant.map(|(id, ..)| (*id, *id)).collect();
        let brought = self.model.series_of(&event).brought.iter();
        ids.extend(brought.map(|id| (*id, self.model.brought[id].template_id)));
        let (id, lane_id) = self.chance.one_of(&ids);
        (event.clone(), DeliveryKey::first(event.id, id), lane_id)
    }

    pub(super) async fn rows(&self) -> Result<(), String> {
        let ours: Vec<_> = self
            .model
            .ledger
            .iter()
            .map(|(key, ended)| {
                let state = ended.state.to_string();
                (*key, state, ended.attempts, None, None, true)
            })
            .collect();
        let theirs: Vec<Row> = sqlx::query_as(
            "SELECT event_id, subscription_id, generation, state::text, attempts, NULL::uuid, NULL::uuid, true
               FROM posthorn.deliveries ORDER BY event_id, subscription_id, generation",
        )
        .fetch_all(&self.server.pool)
        .await
        .unwrap();
        same("the ledger", ours, unsigned(theirs))?;
        let now = self.model.now();
        let ours: Vec<_> = self
            .model
            .pending
            .iter()
            .map(|(key, open)| {
                let state = if open.attempts == 0 {
                    "pending"
                } else {
                    "pending_retry"
                };
                let state = state.to_owned();
                let is_due = open.due_at <= now;
                (
                    *key,
                    state,
                    open.attempts,
                    open.template_id,
                    open.replay_id,
                    is_due,
                )
            })
            .collect();
        let theirs: Vec<Row> = sqlx::query_as(
            "SELECT event_id, subscription_id, generation, state::text, attempts, template_id, replay_id,
                    due_at <= clock_timestamp()
               FROM posthorn.pending_deliveries ORDER BY event_id, subscription_id, generation",
        )
        .fetch_all(&self.server.pool)
        .await
        .unwrap();
        same("what waits", ours, unsigned(theirs))?;
        let attempts = self
            .server
            .value::<i64>("SELECT count(*) FROM posthorn.attempts");
        let ours = i64::try_from(self.model.attempts.len()).unwrap();
        same("attempts", ours, attempts.await)
    }
}

type Compared = (DeliveryKey, String, u32, Option<Uuid>, Option<Uuid>, bool);

fn unsigned(rows: Vec<Row>) -> Vec<Compared> {
    let rows = rows.into_iter();
    let rows = rows.map(
        |(event_id, subscription_id, generation, state, attempts, template, replay, is_due)| {
            let key = DeliveryKey {
                event_id,
                subscription_id,
                generation,
            };
            let attempts = u32::try_from(attempts).unwrap();
            (key, state, attempts, template, replay, is_due)
        },
    );
    rows.collect()
}
