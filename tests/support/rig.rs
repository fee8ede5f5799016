//! What every check stands on: a database, a receiver that remembers which event came how
//! often, and worker processes that can be stopped, killed and looked at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use posthorn::demo::postgres::{PrivatePostgres, Settings};
use posthorn::receiver::{Behaviour, Receiver};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::MutexGuard;
use uuid::Uuid;

use super::{Database, SHORT_LEASE, Setup, Worker, alone_among_the_heavy, until};

/// Far more than anything takes that happens at all.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A lease that a machine under load can renew, for checks that lose no worker.
pub const CALM: &str = "worker.lease = '30s'";

pub struct Rig {
    pub database: Database,
    pub pool: PgPool,
    pub receiver: Receiver,
    pub seen: Seen,
    pub postgres: PrivatePostgres,
    /// The checks load the machine: side by side they would measure one another.
    _alone: MutexGuard<'static, ()>,
}

impl Rig {
    pub async fn set_up() -> Self {
        Self::set_up_with(Settings::fast()).await
    }

    pub async fn set_up_with(settings: Settings) -> Self {
        let alone = alone_among_the_heavy().await;
        let (database, postgres) = Database::alone(settings).await;
        let receiver = Receiver::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        Self {
            pool: database.pool.clone(),
            database,
            seen: Seen::watching(&receiver),
            receiver,
            postgres,
            _alone: alone,
        }
    }

    /// A subscription whose requests name the event, to the path `/MERCHANT/NAME`;
    /// `settings` is an object of further columns.
    pub async fn subscribe(&self, merchant: &str, name: &str, mut settings: Value) -> Uuid {
        settings["url"] = self.receiver.url(&format!("/{merchant}/{name}")).into();
        settings["fields"] = json!([{ "name": "event_id", "source": "event_id" }]);
        self.database.subscribe(merchant, name, settings).await
    }

    /// Two endpoints for each of so many merchants `m0`, `m1`, …: a `good` one, and a `flaky` one
    /// that fails so many times before a success, twice.
    pub async fn good_and_flaky(&self, merchants: usize, failures: u32) {
        let flaky =
            format!("503,times={failures},then=200,times=1,then=503,times={failures},then=200");
        for merchant in (0..merchants).map(|number| format!("m{number}")) {
            self.subscribe(&merchant, "good", json!({ "max_in_flight": 4 }))
                .await;
            let retries = json!({ "retry": "fixed", "retry_interval": "300ms" });
            self.subscribe(&merchant, "flaky", retries).await;
            let path = |name| format!("/{merchant}/{name}");
            self.receiver.on(&path("good"), behaviour("200,delay=15ms"));
            self.receiver.on(&path("flaky"), behaviour(&flaky));
        }
    }

    pub async fn number(&self, query: &str) -> i64 {
        self.database.value(query).await
    }

    /// A worker of this name, with further lines of configuration; ready when this returns.
    /// Its lease is short unless they say otherwise: most checks break something.
    pub async fn worker(&self, name: &str, toml: &str) -> Worker {
        self.setup(name, toml).start().await
    }

    pub fn setup(&self, name: &str, toml: &str) -> Setup {
        Setup::new(&self.database)
            .toml(&format!("worker.name = '{name}'"))
            .toml(SHORT_LEASE)
            .toml(toml)
    }

    /// One event of each of so many merchants `m0`, `m1`, …, each in its own transaction;
    /// goes on at so many a second until the time is over. Returns how many.
    pub async fn publish(&self, merchants: usize, per_second: f64, span: Duration) -> usize {
        let began = Instant::now();
        let mut count = 0;
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
        while began.elapsed() < span {
            tick.tick().await;
            publish_one(&self.pool, &format!("m{}", count % merchants)).await;
            count += 1;
        }
        count
    }

    pub async fn publish_to(&self, merchant: &str) {
        publish_one(&self.pool, merchant).await;
    }

    /// Waits until more arrives than what was on its way.
    pub async fn until_requests_go_out(&self) {
        let arrived = self.receiver.received();
        wait_until("requests go out again", async || {
            self.receiver.received() > arrived + 20
        })
        .await;
    }

    /// Waits until every delivery that ought to end has ended, by the ledger.
    pub async fn until_all_have_ended(&self) {
        wait_until("every matched event has its ledger row", async || {
            self.number(&missing()).await == 0
        })
        .await;
    }

    /// Each committed event × matching subscription has exactly one ledger row, and no other
    /// pair has any.
    pub async fn assert_ledger_is_exact(&self) {
        let beyond = format!(
            "SELECT count(*) FROM (SELECT event_id, subscription_id FROM posthorn.deliveries
                                   EXCEPT ALL ({WANTED})) AS beyond"
        );
        assert_eq!(
            self.number(&missing()).await,
            0,
            "pairs without a ledger row"
        );
        assert_eq!(
            self.number(&beyond).await,
            0,
            "ledger rows beyond one a pair"
        );
        let open = "SELECT count(*) FROM posthorn.pending_deliveries";
        assert_eq!(self.number(open).await, 0, "deliveries both ended and open");
    }

    /// Which events each path should have seen.
    pub async fn wanted(&self) -> Vec<(String, Uuid)> {
        let query = format!(
            "SELECT '/' || s.merchant || '/' || s.name, wanted.event_id FROM ({WANTED}) AS wanted
               JOIN posthorn.subscriptions s ON s.id = wanted.subscription_id"
        );
        sqlx::query_as(AssertSqlSafe(query))
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// The share `at` of the times from an event to its first attempt, milliseconds, for
    /// events since `since` to subscriptions whose names match.
    pub async fn pickup_ms(&self, at: f64, since: Uuid, names: &str) -> f64 {
        sqlx::query_scalar(
            "SELECT (percentile_cont($1) WITHIN GROUP (
                        ORDER BY extract(epoch FROM a.started_at - e.created_at)) * 1000)::float8
               FROM posthorn.attempts a JOIN posthorn.events e ON e.id = a.event_id
               JOIN posthorn.subscriptions s ON s.id = a.subscription_id
              WHERE a.number = 1 AND e.id >= $2 AND s.name LIKE $3",
        )
        .bind(at)
        .bind(since)
        .bind(names)
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// An id between the events before and after this moment.
    pub async fn mark(&self) -> Uuid {
        sqlx::query_scalar("SELECT posthorn.uuid_v7()")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// How many shards are owned under a valid lease by these workers, by their names.
    pub async fn shards_of(&self, names: &[&str]) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM posthorn.shards s JOIN posthorn.workers w ON w.id = s.owner
              WHERE w.name = ANY ($1) AND s.expires_at > now()",
        )
        .bind(names)
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }
}

pub async fn publish_one(pool: &PgPool, merchant: &str) {
    sqlx::query(
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
         VALUES ($1, 'payment.changed', gen_random_uuid()::text, 'approved')",
    )
    .bind(merchant)
    .execute(pool)
    .await
    .unwrap();
}

/// What the events and subscriptions ask for; statuses and kinds are plain words here.
const WANTED: &str = "
    SELECT e.id AS event_id, s.id AS subscription_id
      FROM posthorn.events e
      JOIN posthorn.subscriptions s ON s.merchant = e.merchant
     WHERE s.enabled AND e.created_at >= s.created_at
       AND (s.statuses IS NULL OR e.status = ANY (s.statuses))
       AND (s.kinds IS NULL OR e.kind = ANY (s.kinds))";

fn missing() -> String {
    format!(
        "SELECT count(*) FROM ({WANTED}
                 EXCEPT ALL SELECT event_id, subscription_id FROM posthorn.deliveries) AS missing"
    )
}

/// How often each path has seen each event.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<HashMap<(String, Uuid), u32>>>);

#[derive(Deserialize)]
struct Body {
    event_id: Uuid,
}

impl Seen {
    fn watching(receiver: &Receiver) -> Self {
        let seen = Self::default();
        let mut requests = receiver.watch();
        let counts = seen.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                let body: Body = serde_json::from_slice(&request.body).unwrap();
                let key = (request.path_and_query.clone(), body.event_id);
                *counts.0.lock().unwrap().entry(key).or_default() += 1;
            }
        });
        seen
    }

    pub fn counts(&self) -> HashMap<(String, Uuid), u32> {
        self.0.lock().unwrap().clone()
    }

    /// Requests for an event beyond the first.
    pub fn repeats(&self) -> u32 {
        self.counts().values().map(|count| count - 1).sum()
    }
}

/// A line of `/proc/PID/status` such as `VmRSS`, MiB.
pub fn memory_mib(worker: &Worker, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().trim_matches([':', '\t', ' ', 'k', 'B']);
    number.parse::<f64>().unwrap() / 1024.0
}

/// Waits for what is bound to happen.
pub async fn wait_until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    until(PATIENCE, what, async || happened().await.then_some(())).await;
}

/// `POSTHORN_FULL=1` runs the checks at the sizes of the issue instead of those that fit
/// a debug build on a busy machine.
pub fn is_full() -> bool {
    std::env::var_os("POSTHORN_FULL").is_some()
}

pub fn behaviour(text: &str) -> Behaviour {
    text.parse().unwrap()
}

/// So many events of a merchant with an open delivery each, as a worker left them; due
/// after `delay`.
pub async fn backlog(rig: &Rig, merchant: &str, id: Uuid, rows: i64, delay: &str) {
    sqlx::query(
        "WITH events AS (
            INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data, created_at)
            SELECT $1, 'payment', 't' || n, 'approved',
                   json_build_object('text', repeat('x', 500)), now() - interval '1 minute'
              FROM generate_series(1, $3) AS n
            RETURNING id, shard, transaction_id)
         INSERT INTO posthorn.pending_deliveries
                (event_id, subscription_id, state, due_at, shard, transaction_id)
         SELECT id, $2, 'pending', now() + $4::text::interval, shard, transaction_id FROM events",
    )
    .bind(merchant)
    .bind(id)
    .bind(rows)
    .bind(delay)
    .execute(&rig.pool)
    .await
    .unwrap();
}
