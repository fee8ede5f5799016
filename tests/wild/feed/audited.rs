//! What the nightly audit finds, however old it is and whatever was changed since.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Database, PATIENCE, Worker, posthorn, receiver, until};

/// An event that was delivered, and of which nothing is known any more.
async fn forget(database: &Database, event: Uuid) {
    database.reaches(event, "delivered").await;
    until(PATIENCE, "a checkpoint behind it", async || {
        let passed: bool = database
            .value(&format!(
                "SELECT bool_and(pg_visible_in_snapshot(e.xid, s.checkpoint))
                   FROM posthorn.events e JOIN posthorn.shards s USING (shard) WHERE e.id = '{event}'"
            ))
            .await;
        passed.then_some(())
    })
    .await;
    database.forget(event).await;
}

async fn total(database: &Database) -> Value {
    let said = posthorn(&[
        "audit",
        "--since",
        "10 days",
        "--json",
        "--database-url",
        &database.url,
    ])
    .await
    .1;
    let last: Value = serde_json::from_str(said.trim().lines().last().unwrap()).unwrap();
    last["total"].clone()
}

/// 397 deliveries were left undecided because somebody had changed the settings since.
#[tokio::test]
async fn a_change_of_the_settings_since_leaves_nothing_undecided() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({"url": receiver.url("/")});
    database.subscribe("acme", "orders", url).await;
    let _worker = Worker::start(&database, "").await;
    let mut lost = Vec::new();
    for change in [
        "SET kinds = '{other}'",
        "SET kinds = NULL, enabled = false",
        "SET enabled = true, statuses = '{other}'",
    ] {
        let event = database.publish("acme", "T", "approved", "{}").await;
        let wanted: bool = database
            .value(
                "SELECT enabled AND kinds IS NULL AND statuses IS NULL FROM posthorn.subscriptions",
            )
            .await;
        if wanted {
            forget(&database, event).await;
            lost.push(event);
        }
        database
            .execute(&format!("UPDATE posthorn.subscriptions {change}"))
            .await;
        // At the very moment of a change either is right.
        until(PATIENCE, "a moment that has passed", async || {
            let passed: bool = database
                .value("SELECT max(changed_at) < clock_timestamp() - interval '1 second' FROM posthorn.config_history")
                .await;
            passed.then_some(())
        })
        .await;
    }
    assert_eq!(lost.len(), 1);
    let newest = database.publish("acme", "T", "other", "{}").await;
    forget(&database, newest).await;
    let total = total(&database).await;
    assert_eq!(total["undecided"], 0, "{total}");
    assert_eq!(total["missing"], 2, "{total}");
}

/// It looked two days back, and an event that was read later than that, at none.
#[tokio::test]
async fn an_audit_goes_on_where_the_last_one_left_something() {
    let database = Database::new().await;
    let receiver = receiver().await;
    database
        .subscribe_long_ago("acme", "orders", json!({ "url": receiver.url("/") }))
        .await;
    // Of the times before, workers had read up to three days ago; one event was committed late.
    database
        .execute(
            "INSERT INTO posthorn.audits (started_at, since, events, expected, missing, repaired,
                                          settled_to, snapshot, cluster)
             VALUES (now() - interval '2 days', now() - interval '4 days', 0, 0, 0, 0,
                     now() - interval '3 days', pg_current_snapshot(), posthorn.cluster())",
        )
        .await;
    let old = async |days: f64| -> Uuid {
        database
            .value(&format!(
                "INSERT INTO posthorn.events (id, created_at, merchant, kind, transaction_id, status)
                 SELECT (left(posthorn.uuid_floor(at)::text, 14) || right(gen_random_uuid()::text, 22))::uuid, at, 'acme', 'payment', 'T', 'approved'
                   FROM (SELECT now() - interval '1 day' * {days}) AS of (at) RETURNING id"
            ))
            .await
    };
    let late = old(9.0).await;
    let unread = old(2.5).await;
    let mut worker = Worker::start(&database, "maintenance.audit_schedule = '0 0 0 1 1 *'").await;
    forget(&database, late).await;
    forget(&database, unread).await;
    assert!(worker.sigterm().await.success());
    let worker = Worker::start(
        &database,
        "maintenance.audit_schedule = '* * * * * *'\nmaintenance.audit_window = '1 hour'",
    )
    .await;
    worker.logs("deliveries had no row").await;
    database.reaches(late, "delivered").await;
    database.reaches(unread, "delivered").await;
    // Once all is decided it looks no further back than it has to.
    until(PATIENCE, "an audit of its window", async || {
        let recent: bool = database
            .value("SELECT max(since) > now() - interval '2 hours' FROM posthorn.audits")
            .await;
        recent.then_some(())
    })
    .await;
}
