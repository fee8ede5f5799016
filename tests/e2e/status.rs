//! `posthorn status`: who works, what waits, and which endpoints are in trouble.

use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, SHORT_LEASE, Setup, posthorn, receiver, until};

async fn ask(database: &Database, arguments: &[&str]) -> String {
    let url = ["--database-url", &database.url];
    let (status, said) = posthorn(&[&["status"], arguments, &url].concat()).await;
    assert!(status.success(), "{said}");
    said
}

async fn status(database: &Database) -> Value {
    serde_json::from_str(&ask(database, &["--json"]).await).unwrap()
}

#[tokio::test]
async fn it_shows_the_workers_the_shards_and_what_is_amiss() {
    let database = Database::new().await;
    let said = ask(&database, &[]).await;
    assert!(said.contains("workers: 0 live of 0"), "{said}");
    assert!(
        said.contains("shards: 0 owned, 64 free, 0 expired"),
        "{said}"
    );

    let receiver = receiver().await;
    receiver.on("/down", "503".parse().unwrap());
    let url = receiver.url("/");
    let down = json!({"url": receiver.url("/down"), "retry": "fixed", "retry_interval": "1h"});
    database.subscribe("dead", "orders", down).await;
    database
        .subscribe("quiet", "orders", json!({"url": url}))
        .await;
    database
        .subscribe("held", "orders", json!({"url": url, "paused": true}))
        .await;
    database
        .subscribe(
            "left",
            "orders",
            json!({"url": url, "gone_at": "2026-01-01T00:00:00Z"}),
        )
        .await;
    let unusable = json!({"url": url, "auth": "basic", "auth_secret": "env:NOT_THERE"});
    database.subscribe("wrong", "orders", unusable).await;
    let _worker = Setup::new(&database)
        .toml("[worker]\nname = 'one'\n[lanes]\nbreaker_failures = 3")
        .start()
        .await;
    for number in 0..3 {
        database
            .publish("dead", &format!("T-{number}"), "approved", "{}")
            .await;
        database
            .publish("quiet", &format!("T-{number}"), "approved", "{}")
            .await;
    }
    database.publish("held", "T-1", "approved", "{}").await;
    let found = until(PATIENCE, "all troubles", async || {
        let found = status(&database).await;
        (found["open"]["in_trouble"] == 4 && found["open"]["retrying"] == 3).then_some(found)
    })
    .await;
    assert_eq!(found["workers"][0]["worker"], "one");
    assert_eq!(found["workers"][0]["live"], true);
    assert_eq!(found["workers"][0]["shards"], 64);
    assert_eq!(found["shards"]["owned"], 64);
    let troubles: Vec<(&str, &str)> = found["subscriptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["merchant"].as_str().unwrap(),
                row["trouble"].as_str().unwrap(),
            )
        })
        .collect();
    let mut sorted = troubles.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            ("dead", "breaker open"),
            ("held", "paused with a backlog"),
            ("left", "gone"),
            ("wrong", "unusable settings"),
        ]
    );
    let said = ask(&database, &["--merchant", "dead"]).await;
    let line = said.lines().find(|line| line.contains("dead")).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells[..5], ["dead", "orders", "3", "3", "0"], "{said}");
    assert!(line.ends_with("breaker open"), "{said}");
    assert!(
        said.contains(
            "open deliveries: 3 (0 pending, 3 in retry, 0 of replays); the oldest undelivered"
        ),
        "{said}"
    );
    assert!(!said.contains("quiet"), "{said}");
}

#[tokio::test]
async fn a_worker_that_is_gone_and_what_nobody_reads_are_told() {
    let database = Database::new().await;
    let mut worker = Setup::new(&database).toml(SHORT_LEASE).start().await;
    worker.kill9().await;
    let event = database.publish("quiet", "T-9", "approved", "{}").await;
    let found = until(PATIENCE, "a worker that is gone", async || {
        let found = status(&database).await;
        (found["workers"][0]["live"] == false && found["shards"]["expired"] == 64).then_some(found)
    })
    .await;
    assert!(found["unread"]["events"].as_i64().unwrap() >= 1, "{found}");
    let since: String = database
        .value(&format!(
            "SELECT to_json(created_at) #>> '{{}}' FROM posthorn.events WHERE id = '{event}'"
        ))
        .await;
    let oldest = found["unread"]["oldest_at"].as_str().unwrap();
    assert!(
        oldest <= since.replace("+00:00", "Z").as_str(),
        "{oldest} {since}"
    );
    let said = ask(&database, &[]).await;
    assert!(
        said.contains("workers: 0 live of 1") && said.contains(", gone"),
        "{said}"
    );
}

#[tokio::test]
async fn a_database_that_cannot_be_asked_is_the_only_failure() {
    let (status, said) = posthorn(&["status", "--database-url", "postgres://127.0.0.1:1/x"]).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("check that PostgreSQL runs"), "{said}");
}
