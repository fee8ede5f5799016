//! The configuration takes effect while the worker runs, from SQL and from its file.

use std::collections::HashSet;

use serde_json::json;
use uuid::Uuid;

use crate::support::{
    Database, Delivery, PATIENCE, Setup, Worker, alone_among_the_heavy, posthorn, receiver, until,
};

/// Publishes until an event has become what a change of the configuration asks for: within
/// two seconds of it the old one may still hold.
async fn publish_until(
    database: &Database,
    what: &str,
    wanted: impl Fn(&Delivery) -> bool,
) -> Uuid {
    until(PATIENCE, what, async || {
        let event = database.publish("acme", "t1", "approved", "{}").await;
        let delivery = until(PATIENCE, "a delivery", async || {
            database.deliveries(event).await.into_iter().next()
        })
        .await;
        wanted(&delivery).then_some(event)
    })
    .await
}

#[tokio::test]
async fn an_event_right_after_its_subscription_is_delivered() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let _worker = Worker::start(&database, "").await;
    for number in 0..10 {
        let merchant = format!("m{number}");
        database
            .subscribe(&merchant, "hook", json!({"url": receiver.url("/hook")}))
            .await;
        let event = database.publish(&merchant, "t1", "approved", "{}").await;
        database.reaches(event, "delivered").await;
    }
    assert_eq!(receiver.received(), 10);
}

#[tokio::test]
async fn very_many_subscriptions_are_all_loaded_and_all_changed() {
    const MERCHANTS: usize = 2100;
    let _alone = alone_among_the_heavy().await;
    let database = Database::new().await;
    let receiver = receiver().await;
    let publish = format!(
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
         SELECT 'm' || n, 'payment', 't' || n, 'approved' FROM generate_series(1, {MERCHANTS}) AS n"
    );
    // A receiver in a starved process answers late: no retry is to come of that.
    database
        .execute(&format!(
            "INSERT INTO posthorn.subscriptions (merchant, name, url, timeout)
             SELECT 'm' || n, 'hook', '{}', interval '5 minutes' FROM generate_series(1, {MERCHANTS}) AS n",
            receiver.url("/first")
        ))
        .await;
    let _worker = Worker::start(&database, "").await;
    // A delivery may come more than once, and is one all the same.
    let seen_at = |path: &str| -> HashSet<String> {
        receiver
            .requests()
            .iter()
            .filter(|request| request.path_and_query == path)
            .map(|request| request.headers["webhook-id"].to_str().unwrap().to_owned())
            .collect()
    };
    let all_reach = async |path: &str| {
        until(PATIENCE * 6, path, async || {
            (seen_at(path).len() == MERCHANTS).then_some(())
        })
        .await;
    };
    database.execute(&publish).await;
    all_reach("/first").await;

    let change = format!(
        "UPDATE posthorn.subscriptions SET url = '{}'",
        receiver.url("/second")
    );
    database.execute(&change).await;
    database.execute(&publish).await;
    all_reach("/second").await;
    assert_eq!(seen_at("/first").len(), MERCHANTS);
}

#[tokio::test]
async fn events_from_before_a_subscription_are_not_for_it() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let early = database.publish("acme", "t1", "approved", "{}").await;
    database
        .subscribe("acme", "hook", json!({"url": receiver.url("/hook")}))
        .await;
    let _worker = Worker::start(&database, "").await;
    let late = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(late, "delivered").await;
    assert_eq!(receiver.received(), 1);
    assert!(database.deliveries(early).await.is_empty());
}

#[tokio::test]
async fn a_subscription_can_be_changed_paused_and_disabled_at_any_time() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let first = receiver.on("/first", "200".parse().unwrap());
    let second = receiver.on("/second", "200".parse().unwrap());
    database
        .subscribe("acme", "hook", json!({"url": receiver.url("/first")}))
        .await;
    let _worker = Worker::start(&database, "").await;
    let change = async |what: &str| {
        database
            .execute(&format!(
                "UPDATE posthorn.subscriptions SET {what} WHERE name = 'hook'"
            ))
            .await;
    };

    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    assert_eq!(first.received(), 1);

    change(&format!("url = '{}'", receiver.url("/second"))).await;
    publish_until(&database, "a delivery to the new URL", |_| {
        second.received() > 0
    })
    .await;
    let before = first.received();

    change("paused = true").await;
    let waiting = publish_until(&database, "a delivery that waits", |d| d.state == "pending").await;
    change("paused = false").await;
    assert_eq!(database.reaches(waiting, "delivered").await.attempts, 1);

    change("paused = true").await;
    let waiting = publish_until(&database, "a delivery that waits", |d| d.state == "pending").await;
    change("enabled = false").await;
    let cancelled = database.reaches(waiting, "cancelled").await;
    assert_eq!(cancelled.attempts, 0);
    assert!(cancelled.reason.unwrap().contains("disabled"));

    // It matches nothing any more, while another one of the merchant does.
    let sent = second.received();
    database
        .subscribe("acme", "other", json!({"url": receiver.url("/other")}))
        .await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    assert_eq!(
        database.reaches(event, "delivered").await.subscription,
        "other"
    );
    assert_eq!(database.deliveries(event).await.len(), 1);
    assert_eq!((first.received(), second.received()), (before, sent));
}

#[tokio::test]
async fn disabling_cancels_a_delivery_that_waits_for_its_retry() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let hook = receiver.on("/hook", "503".parse().unwrap());
    let settings = json!({"url": receiver.url("/hook"), "retry": "fixed", "retry_interval": "1h"});
    database.subscribe("acme", "hook", settings).await;
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "pending_retry").await;
    database
        .execute("UPDATE posthorn.subscriptions SET enabled = false")
        .await;
    assert_eq!(database.reaches(event, "cancelled").await.attempts, 1);
    assert_eq!(hook.received(), 1);
}

#[tokio::test]
async fn a_changed_profile_changes_its_subscriptions() {
    let database = Database::new().await;
    let receiver = receiver().await;
    database
        .execute("INSERT INTO posthorn.profiles (name, encoding) VALUES ('p', 'xml')")
        .await;
    database
        .subscribe(
            "acme",
            "hook",
            json!({"url": receiver.url("/hook"), "profile": "p"}),
        )
        .await;
    let _worker = Worker::start(&database, "").await;
    let of_type = |content_type: &str| {
        let requests = receiver.requests();
        let found = requests.iter().filter(|request| {
            request.headers["content-type"]
                .to_str()
                .unwrap()
                .contains(content_type)
        });
        found.count()
    };
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    assert_eq!(of_type("xml"), 1);
    database
        .execute("UPDATE posthorn.profiles SET encoding = 'nvp' WHERE name = 'p'")
        .await;
    publish_until(&database, "a form", |_| of_type("form") > 0).await;
}

#[tokio::test]
async fn a_secret_that_is_missing_makes_deliveries_wait_until_it_is_mended() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let settings =
        json!({"url": receiver.url("/hook"), "auth": "basic", "auth_secret": "env:MISSING"});
    database.subscribe("acme", "hook", settings).await;
    database
        .subscribe("other", "hook", json!({"url": receiver.url("/other")}))
        .await;
    let worker = Setup::new(&database)
        .env("THERE", "user:pass")
        .start()
        .await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    let other = database.publish("other", "t1", "approved", "{}").await;
    database.reaches(other, "delivered").await;
    database.reaches(event, "pending").await;
    worker
        .logs("the environment variable MISSING is not set")
        .await;
    invalid_reaches(&worker, 1.0).await;
    assert_eq!(receiver.received(), 1);

    database
        .execute(
            "UPDATE posthorn.subscriptions SET auth_secret = 'env:THERE' WHERE merchant = 'acme'",
        )
        .await;
    database.reaches(event, "delivered").await;
    let requests = receiver.requests();
    assert_eq!(requests[1].headers["authorization"], "Basic dXNlcjpwYXNz");
    invalid_reaches(&worker, 0.0).await;
}

/// Gauges are set about once a second.
async fn invalid_reaches(worker: &Worker, expected: f64) {
    until(PATIENCE, "the count of invalid subscriptions", async || {
        let invalid = worker
            .metric("posthorn_subscriptions{settings=\"invalid\"}")
            .await;
        ((invalid - expected).abs() < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_files_subscriptions_are_applied_at_start_and_at_each_sighup() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let file = |path: &str, names: &[&str]| {
        let url = receiver.url(path);
        let mut toml = format!(
            "owner = 'shop'\n[[profile]]\nname = 'p'\nurl = '{url}'\nretry = 'fixed'\nretry_interval = '30m'\n"
        );
        for name in names {
            let lines =
                format!("[[subscription]]\nmerchant = 'acme'\nname = '{name}'\nprofile = 'p'\n");
            toml.push_str(&lines);
        }
        toml
    };
    database
        .subscribe("acme", "by-hand", json!({"url": receiver.url("/hand")}))
        .await;
    let worker = Worker::start(&database, &file("/one", &["a", "b"])).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 3).await;
    let names = async |event: Uuid| {
        let found = database.deliveries(event).await;
        found
            .into_iter()
            .map(|delivery| delivery.subscription)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(event).await, ["a", "b", "by-hand"]);
    assert_eq!(receiver.endpoint("/one").received(), 3);

    // A file that is wrong changes nothing.
    worker.overwrite("[[subscription]]\nmerchant = 'acme'\nname = 'a'\nurl = 'nowhere'\n");
    worker.sighup();
    worker.logs("not reloaded").await;
    let revisions =
        "SELECT string_agg(revision::text, ' ' ORDER BY name) FROM posthorn.subscriptions";
    let before: String = database.value(revisions).await;

    // The same file again changes nothing either.
    worker.rewrite(&file("/one", &["a", "b"]));
    worker.sighup();
    worker.logs("subscriptions and profiles reloaded").await;
    assert_eq!(database.value::<String>(revisions).await, before);
    let states = "SELECT string_agg(name || ' ' || managed_by || ' ' || enabled, ', ' ORDER BY name) FROM posthorn.subscriptions";
    assert_eq!(
        database.value::<String>(states).await,
        "a file:shop true, b file:shop true, by-hand sql true"
    );

    worker.rewrite(&file("/two", &["a", "c"]));
    worker.sighup();
    until(PATIENCE, "b disabled", async || {
        let states: String = database.value(states).await;
        (states == "a file:shop true, b file:shop false, by-hand sql true, c file:shop true")
            .then_some(())
    })
    .await;
    receiver.on("/two", "200".parse().unwrap());
    let event = until(PATIENCE, "deliveries to the new URL", async || {
        let event = database.publish("acme", "t1", "approved", "{}").await;
        until(PATIENCE, "all three", async || {
            (database.deliveries(event).await.len() >= 3).then_some(())
        })
        .await;
        (receiver.endpoint("/two").received() >= 2).then_some(event)
    })
    .await;
    assert_eq!(names(event).await, ["a", "by-hand", "c"]);
}

#[tokio::test]
async fn a_file_does_not_take_over_what_people_manage_by_sql() {
    let database = Database::new().await;
    database
        .subscribe("acme", "hook", json!({"url": "https://example.com/"}))
        .await;
    let toml = "[[subscription]]\nmerchant = 'acme'\nname = 'hook'\nurl = 'https://example.org/'";
    let (status, log) = Setup::new(&database).toml(toml).refused().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(
        log.contains("acme/hook") && log.contains("--take-over"),
        "{log}"
    );
    assert_eq!(
        database
            .value::<String>("SELECT url FROM posthorn.subscriptions")
            .await,
        "https://example.com/"
    );
}

#[tokio::test]
async fn a_wrong_file_is_refused_with_all_that_is_wrong_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let text = "\
[worker]
lease = \"-1s\"
leese = \"10s\"
[lanes]
memory_deliveries = \"many\"
[[subscription]]
merchant = \"acme\"
name = \"hook\"
url = \"https:///path\"
max_in_flight = 501
timeout = \"-5s\"
auth = \"basic\"
auth_secret = \"hunter2\"
";
    std::fs::write(&path, text).unwrap();
    let (status, said) = posthorn(&["worker", "--config", path.to_str().unwrap()]).await;
    assert_eq!(status.code(), Some(1), "{said}");
    for part in [
        "line 2, worker.lease",
        "line 3, worker.leese",
        "line 5, lanes.memory_deliveries",
        "line 9, ",
        "line 10, ",
        "line 11, ",
        "line 13, ",
        "max_in_flight",
    ] {
        assert!(said.contains(part), "{part} not in\n{said}");
    }
    assert!(!said.contains("hunter2"), "{said}");

    // Secrets are looked for at once too, and told together.
    let database = Database::new().await;
    let toml = "
        [[subscription]]
        merchant = 'acme'
        name = 'one'
        url = 'https://example.com/'
        auth = 'basic'
        auth_secret = 'env:POSTHORN_TEST_NOT_SET'
        [[subscription]]
        merchant = 'acme'
        name = 'two'
        url = 'https://example.com/'
        auth = 'basic'
        auth_secret = 'file:/nowhere/to/be/found'
    ";
    let (status, said) = Setup::new(&database).toml(toml).refused().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("POSTHORN_TEST_NOT_SET") && said.contains("/nowhere/to/be/found"),
        "{said}"
    );
}
