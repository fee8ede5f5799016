//! A worker's life: limits and order under load, stopping, and a database that goes away.

use std::collections::HashMap;
use std::time::Duration;

use posthorn::demo::postgres::SUPERUSER;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgPool};

use crate::support::{Database, PATIENCE, SHORT_LEASE, Setup, Worker, receiver, until};

const FREE: &str = "SELECT count(*) FROM posthorn.shards WHERE owner IS NULL";

/// Takes a database away from its users, and gives it back.
struct Server(PgPool);

impl Server {
    async fn of(database: &Database) -> Self {
        let url = database
            .url_of(SUPERUSER)
            .replace(&database.name, "postgres");
        Self(PgPool::connect(&url).await.unwrap())
    }

    async fn shut_out(&self, database: &Database) {
        self.run(&format!(
            "ALTER DATABASE {0} ALLOW_CONNECTIONS false;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{0}'",
            database.name
        ))
        .await;
    }

    async fn let_in(&self, database: &Database) {
        self.run(&format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS true",
            database.name
        ))
        .await;
    }

    async fn run(&self, sql: &str) {
        self.0
            .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
            .await
            .unwrap();
    }
}

/// Publishes so many events in one statement, each with its number as `n` in its data.
async fn publish_many(database: &Database, merchant: &str, count: u32) {
    database
        .execute(&format!(
            "SELECT posthorn.publish('{merchant}', 'payment', 't' || n, 'approved', json_build_object('n', n))
               FROM generate_series(1, {count}) AS n"
        ))
        .await;
}

#[tokio::test]
async fn sigterm_drains_and_another_worker_goes_on_without_a_repeat() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let slow = receiver.on("/slow", "200,delay=30ms".parse().unwrap());
    for number in 0..4 {
        let settings = json!({"url": receiver.url("/slow"), "max_in_flight": 3});
        database
            .subscribe(&format!("m{number}"), "hook", settings)
            .await;
    }
    let mut worker = Worker::start(&database, "").await;
    for number in 0..4 {
        publish_many(&database, &format!("m{number}"), 300).await;
    }
    slow.wait_for(40, PATIENCE).await.unwrap();
    let status = worker.sigterm().await;
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    assert_eq!(database.value::<i64>(FREE).await, 64);
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM posthorn.workers")
            .await,
        0
    );
    assert_eq!(slow.in_flight(), 0);
    let sent = slow.received();
    assert!(sent < 1200, "it ended too late to tell");
    let recorded: i64 = database
        .value("SELECT count(*) FROM posthorn.deliveries")
        .await;
    assert_eq!(u64::try_from(recorded).unwrap(), sent);

    let _second = Worker::start(&database, "").await;
    database.count_reaches("delivered", 1200).await;
    let mut seen: HashMap<String, u32> = HashMap::new();
    for request in receiver.requests() {
        let id = request.headers["webhook-id"].to_str().unwrap().to_owned();
        *seen.entry(id).or_default() += 1;
    }
    assert_eq!(seen.len(), 1200);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
}

#[tokio::test]
async fn sigterm_waits_no_longer_than_the_grace_and_what_hangs_is_sent_again() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let hang = receiver.on("/hang", "hang,times=1,then=200".parse().unwrap());
    let settings = json!({"url": receiver.url("/hang"), "timeout": "10min"});
    database.subscribe("acme", "hook", settings).await;
    let mut worker = Worker::start(&database, "[worker]\ngrace = '300ms'").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    hang.wait_for(1, PATIENCE).await.unwrap();
    assert_eq!(worker.sigterm().await.code(), Some(0), "{}", worker.log());
    assert_eq!(database.value::<i64>(FREE).await, 64);
    let _second = Worker::start(&database, "").await;
    database.reaches(event, "delivered").await;
    assert_eq!(hang.received(), 2);
}

#[tokio::test]
async fn the_database_may_go_away_and_come_back() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let hook = receiver.on("/hook", "200,delay=300ms,times=1,then=200".parse().unwrap());
    database
        .subscribe("acme", "hook", json!({"url": receiver.url("/hook")}))
        .await;
    let mut worker = Worker::start(&database, SHORT_LEASE).await;
    let server = Server::of(&database).await;

    // One is in the air while the database goes: its outcome is not lost.
    let in_the_air = database.publish("acme", "t1", "approved", "{}").await;
    hook.wait_for(1, PATIENCE).await.unwrap();
    server.shut_out(&database).await;
    until(PATIENCE, "not ready", async || {
        (worker.ready().await == 503).then_some(())
    })
    .await;
    assert!(
        worker
            .get("/readyz")
            .await
            .1
            .contains("the database does not answer")
    );
    assert_eq!(worker.get("/healthz").await.0, 200);
    assert!(worker.metric("posthorn_database_errors_total").await > 0.0);
    // Away for longer than the lease.
    until(PATIENCE, "no shard", async || {
        (worker.metric("posthorn_shards_held").await < 0.5).then_some(())
    })
    .await;
    server.let_in(&database).await;

    until(PATIENCE, "ready again", async || {
        (worker.ready().await == 200).then_some(())
    })
    .await;
    let later = database.publish("acme", "t2", "approved", "{}").await;
    database.reaches(later, "delivered").await;
    database.reaches(in_the_air, "delivered").await;
    assert!(worker.sigterm().await.success());
}

/// Somebody's transaction holds the worker's own row: its heartbeat hangs for two leases.
#[tokio::test]
async fn a_statement_that_hangs_delays_no_renewal() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let hook = receiver.on("/hook", "200".parse().unwrap());
    database
        .subscribe("acme", "hook", json!({"url": receiver.url("/hook")}))
        .await;
    let worker = Worker::start(&database, "worker.lease = '3s'").await;
    let mut other = database.pool.begin().await.unwrap();
    let renewed_to: String = sqlx::query_scalar(
        "SELECT (now() + interval '9 seconds')::text FROM posthorn.workers FOR UPDATE",
    )
    .fetch_one(&mut *other)
    .await
    .unwrap();
    let renewed = format!(
        "SELECT count(*) FROM posthorn.shards WHERE expires_at > '{renewed_to}' AND epoch = 1"
    );
    until(PATIENCE, "leases that last for two more", async || {
        (database.value::<i64>(&renewed).await == 64).then_some(())
    })
    .await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    hook.wait_for(1, PATIENCE).await.unwrap();
    database.reaches(event, "delivered").await;
    other.rollback().await.unwrap();
    assert!(!worker.log().contains("no longer ours"), "{}", worker.log());
}

/// The rows of the shards are held until the leases have run out: what is in the air and
/// what comes meanwhile is sent once, as nobody else took the shards.
#[tokio::test]
async fn a_renewal_that_hangs_past_the_lease_repeats_nothing() {
    const LEASE: Duration = Duration::from_secs(6);
    let database = Database::new().await;
    let receiver = receiver().await;
    let hook = receiver.on("/hook", "200,delay=8s,times=1,then=200".parse().unwrap());
    database
        .subscribe("acme", "hook", json!({"url": receiver.url("/hook")}))
        .await;
    let worker = Worker::start(&database, "worker.lease = '6s'").await;
    let in_the_air = database.publish("acme", "t1", "approved", "{}").await;
    hook.wait_for(1, PATIENCE).await.unwrap();
    let mut other = database.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM posthorn.shards FOR UPDATE")
        .execute(&mut *other)
        .await
        .unwrap();
    // As long as the worker may take itself to hold them.
    tokio::time::sleep(LEASE / 20 * 19).await;
    let meanwhile = database.publish("acme", "t2", "approved", "{}").await;
    other.rollback().await.unwrap();
    for event in [in_the_air, meanwhile] {
        assert_eq!(database.reaches(event, "delivered").await.attempts, 1);
    }
    assert_eq!(hook.received(), 2, "{}", worker.log());
    let epoch = "SELECT max(epoch) FROM posthorn.shards";
    assert_eq!(database.value::<i64>(epoch).await, 1, "{}", worker.log());
}

#[tokio::test]
async fn a_worker_that_starts_before_its_database_waits_for_it() {
    let database = Database::new().await;
    let receiver = receiver().await;
    database
        .subscribe("acme", "hook", json!({"url": receiver.url("/hook")}))
        .await;
    let server = Server::of(&database).await;
    server.shut_out(&database).await;
    let mut worker = Setup::new(&database).spawn();
    worker.logs("cannot reach the database").await;
    assert!(!worker.has_ended());
    server.let_in(&database).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    assert!(worker.sigterm().await.success());

    // It can be stopped while it waits, too.
    server.shut_out(&database).await;
    let mut worker = Setup::new(&database).spawn();
    worker.logs("cannot reach the database").await;
    assert_eq!(worker.sigterm().await.code(), Some(0), "{}", worker.log());
}

#[tokio::test]
async fn health_and_metrics_tell_what_happened() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/flaky", "503,times=1,then=200".parse().unwrap());
    receiver.on("/fails", "404".parse().unwrap());
    for (path, more) in [
        ("/ok", json!({})),
        (
            "/flaky",
            json!({"retry": "fixed", "retry_interval": "100ms"}),
        ),
        ("/fails", json!({"max_attempts": 1})),
        ("/other", json!({"statuses": ["declined"]})),
    ] {
        let mut settings = more;
        settings["url"] = receiver.url(path).into();
        database.subscribe("acme", path, settings).await;
    }
    let worker = Worker::start(&database, "").await;
    assert_eq!(worker.get("/healthz").await.0, 200);
    assert_eq!(worker.get("/readyz").await.0, 200);
    assert_eq!(worker.get("/nothing").await.0, 404);
    database.publish("acme", "t1", "approved", "{}").await;
    database.publish("nobody", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 2).await;
    database.count_reaches("posting_error", 1).await;
    until(PATIENCE, "both events counted", async || {
        (worker.metric("posthorn_events_read_total").await > 1.5).then_some(())
    })
    .await;
    for (series, expected) in [
        ("posthorn_events_read_total", 2.0),
        ("posthorn_deliveries_routed_total", 3.0),
        ("posthorn_attempts_total{outcome=\"ok\"}", 2.0),
        ("posthorn_attempts_total{outcome=\"status\"}", 2.0),
        ("posthorn_retries_planned_total", 1.0),
        (
            "posthorn_deliveries_finished_total{state=\"delivered\"}",
            2.0,
        ),
        (
            "posthorn_deliveries_finished_total{state=\"posting_error\"}",
            1.0,
        ),
        ("posthorn_deliveries_in_flight", 0.0),
        ("posthorn_deliveries_waiting", 0.0),
        ("posthorn_deliveries_unrecorded", 0.0),
        ("posthorn_ledger_conflicts_total", 0.0),
        ("posthorn_fenced_off_total", 0.0),
        ("posthorn_database_errors_total", 0.0),
        ("posthorn_shards_held", 64.0),
        ("posthorn_subscriptions{settings=\"valid\"}", 4.0),
        ("posthorn_first_attempt_delay_seconds_count", 3.0),
    ] {
        until(PATIENCE, &format!("{series} {expected}"), async || {
            ((worker.metric(series).await - expected).abs() < 0.001).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn order_is_kept_within_a_transaction_also_across_retries() {
    let database = Database::new().await;
    let receiver = receiver().await;
    // Every third request fails.
    let behaviour = vec!["200,times=2,then=503,times=1"; 20].join(",then=") + ",then=200";
    receiver.on("/hook", behaviour.parse().unwrap());
    let settings = json!({
        "url": receiver.url("/hook"), "order": "transaction", "max_in_flight": 8,
        "retry": "fixed", "retry_interval": "100ms",
    });
    database.subscribe("acme", "hook", settings).await;
    let _worker = Worker::start(&database, "").await;
    for step in 1..=8 {
        for transaction in ["a", "b", "c", "d"] {
            let data = format!(r#"{{"transaction": "{transaction}", "step": {step}}}"#);
            database
                .publish("acme", transaction, "approved", &data)
                .await;
        }
    }
    database.count_reaches("delivered", 32).await;
    let mut steps: HashMap<String, Vec<u64>> = HashMap::new();
    for request in receiver.requests() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let transaction = body["transaction"].as_str().unwrap().to_owned();
        steps
            .entry(transaction)
            .or_default()
            .push(body["step"].as_u64().unwrap());
    }
    assert!(receiver.received() > 32, "nothing was retried");
    for (transaction, steps) in steps {
        assert!(steps.is_sorted(), "{transaction}: {steps:?}");
        assert_eq!(steps.last(), Some(&8));
    }
}

#[tokio::test]
async fn a_newer_event_of_a_transaction_supersedes_those_that_wait() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let hook = receiver.on("/hook", "503,times=1,then=200".parse().unwrap());
    let settings = json!({
        "url": receiver.url("/hook"), "supersede": true, "retry": "fixed", "retry_interval": "1h",
    });
    database.subscribe("acme", "hook", settings).await;
    let _worker = Worker::start(&database, "").await;
    let first = database
        .publish("acme", "t1", "processing", r#"{"n": 1}"#)
        .await;
    database.reaches(first, "pending_retry").await;
    let other = database
        .publish("acme", "t2", "processing", r#"{"n": 2}"#)
        .await;
    let newest = database
        .publish("acme", "t1", "approved", r#"{"n": 3}"#)
        .await;
    database.reaches(newest, "delivered").await;
    database.reaches(other, "delivered").await;
    let superseded = database.reaches(first, "superseded").await;
    assert_eq!(superseded.attempts, 1);
    assert!(superseded.reason.is_some());
    assert_eq!(hook.received(), 3);
}

#[tokio::test]
async fn of_many_events_that_wait_only_the_newest_of_each_transaction_is_sent() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let settings = json!({"url": receiver.url("/hook"), "supersede": true, "paused": true});
    database.subscribe("acme", "hook", settings).await;
    let _worker = Worker::start(&database, "").await;
    let mut newest = vec![];
    for step in 1..=4 {
        newest.clear();
        for transaction in ["a", "b", "c"] {
            let data = format!(r#"{{"step": {step}}}"#);
            newest.push(
                database
                    .publish("acme", transaction, "approved", &data)
                    .await,
            );
        }
    }
    for event in &newest {
        database.reaches(*event, "pending").await;
    }
    database
        .execute("UPDATE posthorn.subscriptions SET paused = false")
        .await;
    database.count_reaches("delivered", 3).await;
    database.count_reaches("superseded", 9).await;
    for event in &newest {
        database.reaches(*event, "delivered").await;
    }
    assert!(
        receiver
            .requests()
            .iter()
            .all(|request| request.body == r#"{"step": 4}"#)
    );
}

#[tokio::test]
async fn a_rate_limit_holds() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let settings = json!({"url": receiver.url("/hook"), "rate": 10.0, "max_in_flight": 50});
    database.subscribe("acme", "hook", settings).await;
    let _worker = Worker::start(&database, "").await;
    publish_many(&database, "acme", 40).await;
    database.count_reaches("delivered", 40).await;
    let mut arrivals: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.arrived)
        .collect();
    arrivals.sort();
    // However they begin, the last 20 take 2 seconds at 10 a second; a quarter is left for
    // how unevenly a busy machine sees them arrive.
    let took = arrivals[39] - arrivals[19];
    assert!(took >= Duration::from_millis(1500), "{took:?}");
}

#[tokio::test]
async fn max_in_flight_is_never_passed_at_the_receiver() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let mut endpoints = vec![];
    for limit in [1, 5] {
        let path = format!("/limit-{limit}");
        // Failures too: retries and refills count as well.
        let behaviour = "200,delay=20ms,times=10,then=503,delay=5ms,times=5,then=200,delay=20ms";
        endpoints.push((limit, receiver.on(&path, behaviour.parse().unwrap())));
        let settings = json!({
            "url": receiver.url(&path), "max_in_flight": limit, "retry": "fixed", "retry_interval": "50ms",
        });
        database.subscribe("acme", &path, settings).await;
    }
    let free = json!({"url": receiver.url("/free")});
    database.subscribe("acme", "free", free).await;
    let _worker = Setup::new(&database)
        .toml("[lanes]\nspill_after = '50ms'")
        .start()
        .await;
    publish_many(&database, "acme", 60).await;
    database.count_reaches("delivered", 180).await;
    for (limit, endpoint) in endpoints {
        // Saturated, and not above.
        assert_eq!(endpoint.max_in_flight(), limit, "{}", endpoint.path());
    }
}
