//! Does the model of the database do what the SQL does? Histories by chance run against
//! both, and every answer and every row is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::feed::window::Window;
use posthorn::flow::entry::{Attempt, Change, Entry, ToRecord};
use posthorn::flow::refill::RefillRequest;
use posthorn::model::{DeliveryKey, Epoch, Event, OutcomeClass, Shard, Snapshot, State};
use posthorn::record::Batch;
use posthorn::store::known::find_known_deliveries;
use posthorn::store::ledger::write_batch;
use posthorn::store::log::read_page;
use posthorn::store::pending::{count_waiting, refill_lanes};
use posthorn::store::shards::{cluster_and_time, release_shards, renew_leases, take_shards};
use posthorn::store::{Pool, StoreError, connect};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::database::{Database, Transaction};
use crate::scenario::Chance;
use crate::support;

const SEEDS: u64 = 10;
const STEPS: usize = 250;
const MERCHANTS: [&str; 3] = ["a", "b", "c"];
const SESSIONS: usize = 4;

#[tokio::test]
async fn agreement_of_model_and_sql() {
    for seed in 0..SEEDS {
        let mut both = Both::set_up(seed).await;
        for step in 0..STEPS {
            both.step()
                .await
                .unwrap_or_else(|how| panic!("disagree at step {step} of seed {seed}: {how}"));
        }
    }
}

struct Both {
    chance: Chance,
    model: Database,
    server: support::Database,
    pool: Pool,
    lanes: Vec<(Uuid, Shard, &'static str)>,
    sessions: Vec<Option<(PgConnection, Transaction)>>,
    windows: (Window, Window),
    /// That were read.
    events: Vec<Event>,
    workers: [Uuid; 2],
    epochs: BTreeMap<Shard, Vec<(Uuid, Epoch)>>,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "every call makes what it compares"
)]
fn same<T: PartialEq + std::fmt::Debug>(what: &str, model: T, server: T) -> Result<(), String> {
    if model == server {
        return Ok(());
    }
    Err(format!(
        "{what}: the model has {model:?}, the server {server:?}"
    ))
}

impl Both {
    async fn set_up(seed: u64) -> Self {
        let server = support::Database::new().await;
        let began: DateTime<Utc> = server.value("SELECT clock_timestamp()").await;
        let mut lanes = Vec::new();
        for merchant in MERCHANTS {
            for name in ["one", "two"] {
                let url = json!({ "url": "https://merchant.example/" });
                let id = server.subscribe(merchant, name, url).await;
                let sql = format!("SELECT posthorn.shard_of('{merchant}')");
                lanes.push((id, Shard(server.value(&sql).await), merchant));
            }
        }
        let start = |text: String| -> Snapshot { text.parse().unwrap() };
        let snapshot = server.value("SELECT pg_current_snapshot()::text").await;
        let model = Database::new(began, 64);
        let windows = (
            Window::since(&model.snapshot(), None),
            Window::since(&start(snapshot), None),
        );
        Self {
            chance: Chance::of(seed),
            model,
            pool: connect(&server.url.clone().into(), 2).unwrap(),
            server,
            lanes,
            sessions: (0..SESSIONS).map(|_| None).collect(),
            windows,
            events: Vec::new(),
            workers: [Uuid::from_u128(1), Uuid::from_u128(2)],
            epochs: BTreeMap::new(),
        }
    }

    async fn step(&mut self) -> Result<(), String> {
        self.model.elapsed += TimeDelta::milliseconds(1);
        match self.chance.below(10) {
            0..=2 => self.publish().await,
            3..=4 => self.read().await,
            5 => self.own().await,
            6..=7 => self.write().await,
            8 => self.refill().await,
            _ => self.look().await,
        }
    }

    /// A session begins, goes on, commits or rolls back.
    async fn publish(&mut self) -> Result<(), String> {
        let number = self.chance.below(SESSIONS);
        let Some((mut session, transaction)) = self.sessions[number].take() else {
            let mut session = PgConnection::connect(&self.server.url).await.unwrap();
            sqlx::raw_sql("BEGIN; SELECT pg_current_xact_id()")
                .execute(&mut session)
                .await
                .unwrap();
            self.sessions[number] = Some((session, self.model.begin()));
            return Ok(());
        };
        match self.chance.below(5) {
            0 => {
                sqlx::raw_sql("ROLLBACK")
                    .execute(&mut session)
                    .await
                    .unwrap();
                self.model.roll_back(transaction);
            }
            1 | 2 => {
                sqlx::raw_sql("COMMIT").execute(&mut session).await.unwrap();
                self.model.commit(transaction);
            }
            _ => {
                let merchant = self.chance.one_of(&MERCHANTS);
                let payment = self.chance.one_of(&["p", "q"]);
                let (id, shard, created_at): (Uuid, i16, DateTime<Utc>) = sqlx::query_as(
                    "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
                     VALUES ($1, 'payment', $2, 'approved') RETURNING id, shard, created_at",
                )
                .bind(merchant)
                .bind(payment)
                .fetch_one(&mut session)
                .await
                .unwrap();
                let event = Event {
                    id,
                    shard: Shard(shard),
                    merchant: merchant.into(),
                    kind: "payment".into(),
                    transaction_id: payment.into(),
                    status: "approved".into(),
                    data: "".into(),
                    created_at,
                };
                self.model.insert(transaction, event);
                self.sessions[number] = Some((session, transaction));
            }
        }
        Ok(())
    }

    /// A whole window: which of its transactions count as late ones depends on others that
    /// run on the server, and with them how the pages are cut.
    async fn read(&mut self) -> Result<(), String> {
        const LIMIT: i64 = 1;
        let shards: Vec<Shard> = self.lanes.iter().map(|(_, shard, _)| *shard).collect();
        let mut ours = Vec::new();
        loop {
            let request = self.windows.0.next_page(LIMIT).clone();
            let plan = self.model.plan();
            let page = self.model.read_page(&plan, &request, &shards, Uuid::nil());
            let turned = self.windows.0.turn(page);
            ours.extend(turned.events);
            if let Some(end) = turned.complete {
                self.windows.0 = Window::since(&end, None);
                break;
            }
        }
        let mut theirs = BTreeSet::new();
        loop {
            let request = self.windows.1.next_page(LIMIT).clone();
            let page = read_page(&self.pool, &request, &shards, Uuid::nil()).await;
            let turned = self.windows.1.turn(page.unwrap());
            for event in turned.events {
                if !theirs.insert(event.id) {
                    return Err(format!("{} was read twice", event.id));
                }
            }
            if let Some(end) = turned.complete {
                self.windows.1 = Window::since(&end, None);
                break;
            }
        }
        same(
            "a window",
            ours.iter().map(|event| event.id).collect(),
            theirs,
        )?;
        self.events.extend(ours);
        Ok(())
    }

    /// Shards are taken under leases that run out at once or never, renewed and released.
    async fn own(&mut self) -> Result<(), String> {
        let worker = self.chance.one_of(&self.workers);
        let (_, shard, _) = self.chance.one_of(&self.lanes);
        let lease = self
            .chance
            .one_of(&[Duration::ZERO, Duration::from_hours(1)]);
        let known = self.epochs.entry(shard).or_default().clone();
        match self.chance.below(4) {
            0 if !known.is_empty() => {
                let (_, epoch) = self.chance.one_of(&known);
                let held = [(shard, epoch)];
                let ours = self.model.renew_leases(worker, lease, &held);
                let theirs = renew_leases(&self.pool, worker, lease, &held).await;
                same("a renewal", ours.ours, theirs.unwrap().ours)
            }
            1 if !known.is_empty() => {
                let (_, epoch) = self.chance.one_of(&known);
                self.model.release_shards(worker, &[(shard, epoch)]);
                let released = release_shards(&self.pool, worker, &[(shard, epoch)]).await;
                released.unwrap();
                Ok(())
            }
            _ => {
                let (cluster, _) = cluster_and_time(&self.pool).await.unwrap();
                let here = self.chance.below(8) > 0;
                let [ours_in, theirs_in] = [self.model.cluster(), cluster].map(|cluster| {
                    if here {
                        cluster
                    } else {
                        "elsewhere".to_owned()
                    }
                });
                let ours = self.model.take_shards(worker, lease, &ours_in, &[shard]);
                let theirs = take_shards(&self.pool, worker, lease, &theirs_in, &[shard])
                    .await
                    .unwrap();
                let epochs = |taken: &[posthorn::flow::shards::Taken]| {
                    taken.iter().map(|taken| taken.epoch).collect::<Vec<_>>()
                };
                same("a take-over", epochs(&ours), epochs(&theirs))?;
                for taken in ours {
                    let owners = self.epochs.entry(shard).or_default();
                    owners.push((worker, taken.epoch));
                }
                Ok(())
            }
        }
    }

    /// A batch of one owner, past or present, with whatever may stand in one.
    async fn write(&mut self) -> Result<(), String> {
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
            ours = self.model.write_batch(owner, &batch.entries, true);
            theirs = write_batch(&self.pool, owner, &batch.entries, true).await;
        }
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        let sorted = |shards: &std::collections::HashSet<Shard>| {
            shards.iter().copied().collect::<BTreeSet<_>>()
        };
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
        let event = self.events[self.chance.below(self.events.len())].clone();
        let of_merchant: Vec<Uuid> = self
            .lanes
            .iter()
            .filter(|(_, _, merchant)| **merchant == *event.merchant)
            .map(|(id, ..)| *id)
            .collect();
        let key = DeliveryKey::first(event.id, self.chance.one_of(&of_merchant));
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
        let change = match self.chance.below(4) {
            0 => {
                let states = [State::Delivered, State::PostingError, State::Superseded];
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
            lane_id: key.subscription_id,
            shard: event.shard,
            epoch,
            transaction_id: event.transaction_id,
            change,
            attempt,
        })
    }

    async fn rows(&self) -> Result<(), String> {
        let ours: Vec<_> = self
            .model
            .ledger
            .iter()
            .map(|(key, ended)| {
                let state = ended.state.to_string();
                (key.event_id, key.subscription_id, state, ended.attempts)
            })
            .collect();
        let theirs: Vec<(Uuid, Uuid, String, i32)> = sqlx::query_as(
            "SELECT event_id, subscription_id, state::text, attempts FROM posthorn.deliveries
              ORDER BY event_id, subscription_id",
        )
        .fetch_all(&self.server.pool)
        .await
        .unwrap();
        same("the ledger", ours, unsigned(theirs))?;
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
                (
                    key.event_id,
                    key.subscription_id,
                    state.to_owned(),
                    open.attempts,
                )
            })
            .collect();
        let theirs: Vec<(Uuid, Uuid, String, i32)> = sqlx::query_as(
            "SELECT event_id, subscription_id, state::text, attempts
               FROM posthorn.pending_deliveries ORDER BY event_id, subscription_id",
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

    async fn refill(&mut self) -> Result<(), String> {
        let pending: Vec<DeliveryKey> = self.model.pending.keys().copied().collect();
        let held: Vec<DeliveryKey> = pending
            .into_iter()
            .filter(|_| self.chance.happens(0.2))
            .collect();
        let heads_only = self.chance.happens(0.5);
        let lanes: Vec<RefillRequest> = self
            .lanes
            .iter()
            .map(|(id, shard, _)| RefillRequest {
                shard: *shard,
                epoch: Epoch(1),
                lane_id: *id,
                room: 1000,
                replay_room: 0,
                heads_only,
                not_due_too: self.chance.happens(0.1),
            })
            .collect();
        let ours = self.model.refill_lanes(&lanes, &held, self.model.now());
        let mut transaction = self.pool.begin().await.unwrap();
        let theirs = refill_lanes(&mut transaction, &lanes, &held).await.unwrap();
        let keys = |rows: &[posthorn::flow::refill::Refilled]| {
            let keys = rows.iter().map(|row| (row.key, row.attempts));
            keys.collect::<BTreeSet<_>>()
        };
        same("a refill", keys(&ours), keys(&theirs))
    }

    async fn look(&mut self) -> Result<(), String> {
        let shards: Vec<Shard> = self.lanes.iter().map(|(_, shard, _)| *shard).collect();
        let counts = |waiting: &[posthorn::flow::refill::Waiting]| {
            let rows = waiting.iter().map(|it| (it.lane_id, it.rows));
            rows.collect::<BTreeSet<_>>()
        };
        let ours = self.model.count_waiting(&shards);
        let theirs = count_waiting(&self.pool, &shards).await.unwrap();
        same("what waits, counted", counts(&ours), counts(&theirs))?;
        let ids: Vec<Uuid> = self
            .events
            .iter()
            .filter(|_| self.chance.happens(0.3))
            .map(|event| event.id)
            .collect();
        // The server may add others' that lie between them.
        let of_these = |keys: &mut dyn Iterator<Item = DeliveryKey>| {
            let keys = keys.filter(|key| ids.contains(&key.event_id));
            keys.collect::<BTreeSet<_>>()
        };
        let ours = self.model.find_known_deliveries(&ids);
        let theirs = find_known_deliveries(&self.pool, &ids).await.unwrap();
        same(
            "known deliveries",
            of_these(&mut ours.into_iter()),
            of_these(&mut theirs.into_keys()),
        )
    }
}

fn unsigned(rows: Vec<(Uuid, Uuid, String, i32)>) -> Vec<(Uuid, Uuid, String, u32)> {
    rows.into_iter()
        .map(|(event, subscription, state, attempts)| {
            (event, subscription, state, u32::try_from(attempts).unwrap())
        })
        .collect()
}
