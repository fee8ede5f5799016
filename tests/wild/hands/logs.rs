//! What the log and the metrics say to whoever is on call, and when they are quiet.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::{Database, PATIENCE, Worker, receiver, until};

const EAGER: &str = "
    [lanes]
    breaker_failures = 3
    probe_interval_min = '20ms'
    probe_interval_max = '50ms'
";

/// The endpoint had failed for an hour, and the worker's log had nothing of it.
#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_said_once_and_when_it_answers_again() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/busy", "503".parse().unwrap());
    receiver.on("/drops", "drop".parse().unwrap());
    let nobody = "http://127.0.0.1:1/nobody?token=hunter2";
    for (name, url) in [
        ("busy", receiver.url("/busy?token=hunter2").as_str()),
        ("drops", &receiver.url("/drops")),
        ("nobody", nobody),
    ] {
        let settings = json!({"url": url, "retry": "fixed", "retry_interval": "50 ms"});
        database.subscribe("acme", name, settings).await;
    }
    let worker = Worker::start(&database, EAGER).await;
    for number in 0..5 {
        database
            .publish("acme", &format!("t{number}"), "approved", "{}")
            .await;
    }
    let failing = |name: &str| {
        let log = worker.log();
        let lines = log.lines().filter(|line| {
            line.contains("keeps failing") && line.contains(&format!("subscription={name} "))
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for (name, class) in [
        ("busy", "outcome=\"status\" http_status=503"),
        ("drops", "outcome=\"protocol\""),
        ("nobody", "outcome=\"connect\""),
    ] {
        let lines = until(PATIENCE, name, async || {
            Some(failing(name)).filter(|lines| !lines.is_empty())
        })
        .await;
        let line = &lines[0];
        assert!(
            line.contains("WARN") && line.contains("merchant=acme"),
            "{line}"
        );
        assert!(line.contains(class), "{line}");
    }
    // Of many probes none is told.
    let before = receiver.endpoint("/busy").received();
    until(PATIENCE, "probes", async || {
        (receiver.endpoint("/busy").received() > before + 5).then_some(())
    })
    .await;
    assert_eq!(failing("busy").len(), 1, "{}", worker.log());
    receiver.on("/busy", "200".parse().unwrap());
    worker.logs("this endpoint answers again").await;
    let log = worker.log();
    let line = log
        .lines()
        .find(|line| line.contains("answers again"))
        .unwrap();
    assert!(
        line.contains("merchant=acme") && line.contains("subscription=busy"),
        "{line}"
    );
    assert!(!log.contains("hunter2"), "{log}");
}

/// The network is away, and with it every endpoint.
#[tokio::test]
async fn of_very_many_that_fail_a_screenful_is_said() {
    let database = Database::new().await;
    let settings =
        json!({"url": "http://127.0.0.1:1/", "retry": "fixed", "retry_interval": "10 ms"});
    for number in 0..40 {
        database
            .subscribe(&format!("m{number}"), "orders", settings.clone())
            .await;
    }
    let worker = Worker::start(&database, EAGER).await;
    for number in 0..160 {
        database
            .publish(&format!("m{}", number % 40), "t", "approved", "{}")
            .await;
    }
    until(PATIENCE, "all are failing", async || {
        (worker.metric("posthorn_breakers_open").await >= 40.0).then_some(())
    })
    .await;
    let said = worker.log().matches("keeps failing").count();
    assert!((1..=20).contains(&said), "{said}");
}

#[tokio::test]
async fn a_worker_that_stops_says_what_it_waits_for() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hangs", "hang".parse().unwrap());
    let settings = json!({"url": receiver.url("/hangs"), "timeout": "60 s"});
    database.subscribe("acme", "orders", settings).await;
    let mut worker = Worker::start(&database, "worker.grace = '5s'").await;
    database.publish("acme", "t", "approved", "{}").await;
    until(PATIENCE, "a request in the air", async || {
        (worker.metric("posthorn_deliveries_in_flight").await >= 1.0).then_some(())
    })
    .await;
    let status = worker.sigterm().await;
    assert!(status.success());
    let log = worker.log();
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("stopping: waits for"))
        .collect();
    // At once, and each two seconds.
    assert!((2..=8).contains(&said.len()), "{log}");
    for part in ["in_flight=1", "unrecorded=", "shards=64", "seconds_left="] {
        assert!(said[0].contains(part), "{part} not in {}", said[0]);
    }
}

#[tokio::test]
async fn sighup_says_which_settings_wait_for_a_start() {
    let database = Database::new().await;
    let worker = Worker::start(&database, "").await;
    worker.rewrite("[worker]\npoll_max = '50ms'\n[lanes]\nmemory_deliveries = 1000\n");
    worker.sighup();
    worker
        .logs("counts from the next start: lanes.memory_deliveries, worker.poll_max")
        .await;
    // What is as it was at the start waits for nothing.
    worker.rewrite("");
    worker.sighup();
    until(PATIENCE, "the second reload", async || {
        (worker.log().matches("profiles reloaded").count() == 2).then_some(())
    })
    .await;
    assert_eq!(
        worker.log().matches("counts from the next start").count(),
        1
    );
}

/// "No audit for two days" fired on each new installation.
#[tokio::test]
async fn a_new_installation_lacks_no_audit_yet() {
    let database = Database::new().await;
    let worker = Worker::start(&database, "").await;
    let finished = until(PATIENCE, "a time", async || {
        let at = worker
            .metric("posthorn_audit_finished_timestamp_seconds")
            .await;
        (at > 0.0).then_some(at)
    })
    .await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!((now.as_secs_f64() - finished).abs() < 3_600.0, "{finished}");

    // One that was made long ago and never audited does.
    drop(worker);
    database
        .execute("UPDATE posthorn.migrations SET installed_on = now() - interval '3 days'")
        .await;
    let worker = Worker::start(&database, "").await;
    until(PATIENCE, "an old time", async || {
        let at = worker
            .metric("posthorn_audit_finished_timestamp_seconds")
            .await;
        (at > 0.0 && now.as_secs_f64() - at > 2.0 * 86_400.0).then_some(())
    })
    .await;
}
