//! A subscription whose settings cannot be used, as operators and support see it.

use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, Worker, posthorn, until};

#[tokio::test]
async fn status_and_the_viewer_see_why() {
    let database = Database::new().await;
    let url = "https://a.example/";
    for (merchant, settings) in [
        (
            "secret",
            json!({"url": url, "auth": "basic", "auth_secret": "env:NOT_THERE"}),
        ),
        (
            "file",
            json!({"url": url, "ca_cert": "file:/nowhere/ca.pem"}),
        ),
        ("pool", json!({"url": url, "proxy_pool": "dmz"})),
        ("fine", json!({"url": url})),
    ] {
        database.subscribe(merchant, "orders", settings).await;
    }
    let _worker = Worker::start(&database, "").await;
    let reasons = "SELECT string_agg(merchant || ' ' || why, E'\\n' ORDER BY merchant)
                     FROM posthorn.status_subscriptions WHERE trouble = 'unusable settings'";
    let all = until(PATIENCE, "three with a reason", async || {
        let all: Option<String> = database.value(reasons).await;
        all.filter(|all| all.lines().count() == 3)
    })
    .await;
    for (line, parts) in all.lines().zip([
        ["file ca_cert: ", "/nowhere/ca.pem"],
        ["pool proxy_pool: \"dmz\" is no proxy pool", "add one"],
        ["secret auth_secret: ", "NOT_THERE"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{all}");
    }
    let viewer = format!("viewer_{}", database.name);
    database
        .as_superuser(&format!("CREATE ROLE {viewer} LOGIN"))
        .await;
    let (status, said) = posthorn(&[
        "grant",
        "--viewer",
        &viewer,
        "--database-url",
        &database.url,
    ])
    .await;
    assert!(status.success(), "{said}");
    let url = database.url_of(&viewer);
    let (status, said) = posthorn(&["status", "--database-url", &url]).await;
    assert!(status.success(), "{said}");
    assert!(said.contains("unusable settings: auth_secret: "), "{said}");
    let (_, said) = posthorn(&["status", "--json", "--database-url", &url]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let rows = said["subscriptions"].as_array().unwrap();
    let pool = rows.iter().find(|row| row["merchant"] == "pool").unwrap();
    assert!(pool["why"].as_str().unwrap().contains("dmz"), "{pool}");
}

/// It is looked at every 15 seconds, and was said as often.
#[tokio::test]
async fn it_is_said_once_and_when_it_changes_and_when_it_is_mended() {
    let database = Database::new().await;
    let wrong =
        json!({"url": "https://a.example/", "auth": "basic", "auth_secret": "env:NOT_THERE"});
    database.subscribe("acme", "orders", wrong).await;
    let worker = Worker::start(&database, "").await;
    worker.logs("NOT_THERE").await;
    let said = |text: &str| worker.log().matches(text).count();
    // Each change of the row makes the worker look, as its timer does.
    for number in 0..3 {
        database
            .execute(&format!(
                "UPDATE posthorn.subscriptions SET max_in_flight = {}",
                number + 1
            ))
            .await;
        looked(&database).await;
    }
    database
        .execute("UPDATE posthorn.subscriptions SET auth_secret = 'env:NOT_HERE_EITHER'")
        .await;
    worker.logs("NOT_HERE_EITHER").await;
    assert_eq!(said("ERROR"), 2, "{}", worker.log());
    database
        .execute("UPDATE posthorn.subscriptions SET auth = 'none', auth_secret = NULL")
        .await;
    worker.logs("this subscription can be used again").await;
    assert_eq!(said("ERROR"), 2, "{}", worker.log());
}

/// Waits until the worker knows the configuration as it is: an event that comes after it is
/// dealt with.
async fn looked(database: &Database) {
    let event = database.publish("other", "t", "x", "{}").await;
    let read = format!(
        "SELECT pg_visible_in_snapshot(e.xid, s.checkpoint) FROM posthorn.events e
           JOIN posthorn.shards s USING (shard) WHERE e.id = '{event}'"
    );
    until(PATIENCE, "a checkpoint behind the change", async || {
        database.value::<bool>(&read).await.then_some(())
    })
    .await;
}
