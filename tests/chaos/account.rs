//! The provider's side: events that are published whatever happens, and what became of
//! those that it was told are committed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::rig::{Rig, behaviour};

pub const MERCHANTS: usize = 12;

/// Endpoints that answer well, that fail for a while, and that are slower than their
/// traffic.
pub async fn subscribe(rig: &Rig) {
    rig.good_and_flaky(MERCHANTS, 2).await;
    let slow = json!({ "max_in_flight": 1 });
    rig.subscribe("m0", "slow", slow).await;
    rig.receiver.on("/m0/slow", behaviour("200,delay=400ms"));
}

/// Publishes until it is dropped.
pub struct Publisher {
    told: Arc<Mutex<Told>>,
    publishing: JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    /// Transactions whose commit was acknowledged.
    committed: Vec<(String, Instant)>,
    /// Nobody knows.
    uncertain: usize,
}

impl Publisher {
    /// So many events a second, each in a transaction of its own.
    pub fn start(pool: PgPool, per_second: f64) -> Self {
        let told: Arc<Mutex<Told>> = Arc::default();
        let publishing = tokio::spawn({
            let told = Arc::clone(&told);
            async move {
                let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                for number in 0_usize.. {
                    tick.tick().await;
                    let transaction = Uuid::now_v7().to_string();
                    let committed = publish(&pool, number % MERCHANTS, &transaction).await;
                    let mut told = told.lock().unwrap();
                    match committed {
                        Ok(()) => told.committed.push((transaction, Instant::now())),
                        Err(_) => told.uncertain += 1,
                    }
                }
            }
        });
        Self { told, publishing }
    }

    pub fn committed(&self) -> usize {
        self.told.lock().unwrap().committed.len()
    }

    pub fn uncertain(&self) -> usize {
        self.told.lock().unwrap().uncertain
    }

    /// Waits until so many more are committed.
    pub async fn more(&self, events: usize) {
        let goal = self.committed() + events;
        crate::rig::wait_until("events are published", async || self.committed() >= goal).await;
    }

    pub fn stop(&self) {
        self.publishing.abort();
    }

    /// Heals every endpoint, waits for the end, and compares: what was acknowledged is there,
    /// all that is there ended once, and arrived.
    pub async fn settle(&self, rig: &Rig) -> Account {
        self.stop();
        let healed = Instant::now();
        for endpoint in rig.receiver.endpoints() {
            endpoint.behave(behaviour("200"));
        }
        rig.until_all_have_ended().await;
        let settled = healed.elapsed();
        rig.assert_ledger_is_exact().await;
        let there: HashSet<String> =
            sqlx::query_scalar("SELECT transaction_id FROM posthorn.events")
                .fetch_all(&rig.pool)
                .await
                .unwrap()
                .into_iter()
                .collect();
        let lost = {
            let told = self.told.lock().unwrap();
            let committed = told.committed.iter();
            committed.filter(|(it, _)| !there.contains(it)).count()
        };
        assert_eq!(lost, 0, "acknowledged, and not in the database");
        let seen = rig.seen.counts();
        for pair in rig.wanted().await {
            assert!(seen.contains_key(&pair), "{pair:?} never arrived");
        }
        Account {
            events: self.committed(),
            uncertain: self.uncertain(),
            requests: seen.len(),
            repeats: repeats(&seen),
            settled,
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop();
    }
}

pub struct Account {
    pub events: usize,
    pub uncertain: usize,
    pub requests: usize,
    pub repeats: u32,
    pub settled: Duration,
}

/// Of the endpoints that never fail: what they saw more than once.
pub fn repeats(seen: &HashMap<(String, Uuid), u32>) -> u32 {
    let good = seen.iter().filter(|((path, _), _)| path.ends_with("/good"));
    good.map(|(_, count)| count - 1).sum()
}

async fn publish(pool: &PgPool, merchant: usize, transaction: &str) -> Result<(), sqlx::Error> {
    let insert = sqlx::query(
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
         VALUES ($1, 'payment.changed', $2, 'approved')",
    )
    .bind(format!("m{merchant}"))
    .bind(transaction)
    .execute(pool);
    // A server that is gone says nothing.
    match tokio::time::timeout(Duration::from_secs(3), insert).await {
        Ok(result) => result.map(drop),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}
