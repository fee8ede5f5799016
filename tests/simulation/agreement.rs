//! Does the model of the database do what the SQL does? Histories by chance run against
//! both, and every answer and every row is compared.

mod ledger;
mod waiting;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::feed::window::Window;
use posthorn::model::{Epoch, Event, Scope, Shard, Snapshot, Subscription};
use posthorn::store::log::read_page;
use posthorn::store::shards::{cluster_and_time, release_shards, renew_leases, take_shards};
use posthorn::store::{Pool, connect};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::database::{Database, Transaction};
use crate::scenario::Chance;
use crate::setting::ordinary;
use crate::support;

const SEEDS: u64 = 10;
const STEPS: usize = 250;
const MERCHANTS: [&str; 3] = ["a", "b", "c"];
/// Of each merchant. The last is the template of what its transactions bring.
const LANES: [(&str, Scope); 3] = [
    ("one", Scope::Merchant),
    ("two", Scope::Merchant),
    ("brought", Scope::Transaction),
];
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
            for (name, scope) in LANES {
                let scope = match scope {
                    Scope::Merchant => "merchant",
                    Scope::Transaction => "transaction",
                };
                let settings = json!({ "url": "https://merchant.example/", "scope": scope });
                let id = server.subscribe(merchant, name, settings).await;
                let sql = format!("SELECT posthorn.shard_of('{merchant}')");
                lanes.push((id, Shard(server.value(&sql).await), merchant));
            }
        }
        let start = |text: String| -> Snapshot { text.parse().unwrap() };
        let snapshot = server.value("SELECT pg_current_snapshot()::text").await;
        let mut model = Database::new(began, 64);
        let mut chance = Chance::of(seed);
        for (at, (id, shard, merchant)) in lanes.iter().enumerate() {
            let any = ordinary(&mut chance, merchant, *shard, began);
            model.subscribe(Subscription {
                id: *id,
                scope: LANES[at % LANES.len()].1,
                ..any
            });
        }
        let windows = (
            Window::since(&model.snapshot(), None),
            Window::since(&start(snapshot), None),
        );
        Self {
            chance,
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
        match self.chance.below(14) {
            0..=2 => self.publish().await,
            3..=4 => self.read().await,
            5 => self.own().await,
            6..=7 => self.write().await,
            8 => self.refill().await,
            9 => self.look().await,
            10 => self.look_at_transactions().await,
            11 => self.end_an_address().await,
            12 => self.replay().await,
            _ => self.advance().await,
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
                let status = self.chance.one_of(&["approved", "settled"]);
                let (id, shard, created_at): (Uuid, i16, DateTime<Utc>) = sqlx::query_as(
                    "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
                     VALUES ($1, 'payment', $2, $3) RETURNING id, shard, created_at",
                )
                .bind(merchant)
                .bind(payment)
                .bind(status)
                .fetch_one(&mut session)
                .await
                .unwrap();
                let event = Event {
                    id,
                    shard: Shard(shard),
                    merchant: merchant.into(),
                    kind: "payment".into(),
                    transaction_id: payment.into(),
                    status: status.into(),
                    data: "".into(),
                    created_at,
                };
                if self.chance.happens(0.3) {
                    let of = (number, &event);
                    self.bring(&mut session, transaction, of).await;
                }
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
}
