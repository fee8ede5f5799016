//! Payloads go before the rest of their rows does.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Database, PATIENCE, Setup, receiver, until};

/// Moves an event, its attempts and its ledger rows to so many days ago, past the triggers
/// that keep them as they are.
async fn age(database: &Database, event: Uuid, days: i32) -> Uuid {
    let old: Uuid = database
        .value(&format!(
            "SELECT (left(posthorn.uuid_floor(now() - interval '{days} days')::text, 13)
                     || right('{event}', 23))::uuid"
        ))
        .await;
    database
        .as_superuser(&format!(
            "SET LOCAL session_replication_role = replica;
             UPDATE posthorn.events SET id = '{old}' WHERE id = '{event}';
             UPDATE posthorn.deliveries SET event_id = '{old}' WHERE event_id = '{event}';
             UPDATE posthorn.attempts SET event_id = '{old}' WHERE event_id = '{event}';
             UPDATE posthorn.pending_deliveries SET event_id = '{old}' WHERE event_id = '{event}'"
        ))
        .await;
    old
}

#[tokio::test]
async fn old_payloads_are_purged_and_what_became_of_them_stays() {
    let database = Database::new().await;
    database.make_day(3).await;
    let receiver = receiver().await;
    receiver.on("/", "200,body=echo".parse().unwrap());
    let url = json!({ "url": receiver.url("/") });
    database.subscribe("acme", "orders", url.clone()).await;
    let waiting = database.subscribe("later", "orders", url).await;
    let mut worker = Setup::new(&database).start().await;
    let sent = database
        .publish("acme", "t1", "approved", r#"{"a":1}"#)
        .await;
    let fresh = database
        .publish("acme", "t2", "approved", r#"{"a":2}"#)
        .await;
    database.reaches(sent, "delivered").await;
    database.reaches(fresh, "delivered").await;
    database
        .execute(&format!(
            "UPDATE posthorn.subscriptions SET paused = true WHERE id = '{waiting}'"
        ))
        .await;
    let open = database
        .publish("later", "t3", "approved", r#"{"a":3}"#)
        .await;
    database.reaches(open, "pending").await;
    assert!(worker.sigterm().await.success());
    let sent = age(&database, sent, 3).await;
    let open = age(&database, open, 3).await;

    let worker = Setup::new(&database)
        .toml("[maintenance]\nschedule = \"* * * * * *\"\npayload_days = 2")
        .start()
        .await;
    let data = async |event| {
        let query = format!("SELECT data::text FROM posthorn.events WHERE id = '{event}'");
        database.value::<Option<String>>(&query).await
    };
    until(PATIENCE, "a purged payload", async || {
        data(sent).await.is_none().then_some(())
    })
    .await;
    worker.logs("purged payloads").await;
    assert_eq!(data(fresh).await.as_deref(), Some(r#"{"a":2}"#));
    assert_eq!(data(open).await.as_deref(), Some(r#"{"a":3}"#));
    let body: Option<String> = database
        .value(&format!(
            "SELECT body FROM posthorn.attempts WHERE event_id = '{sent}'"
        ))
        .await;
    assert_eq!(body, None);
    assert_eq!(database.deliveries(sent).await[0].state, "delivered");

    // What was open goes out whole, and only then its payload goes too.
    database
        .execute(&format!(
            "UPDATE posthorn.subscriptions SET paused = false WHERE id = '{waiting}'"
        ))
        .await;
    database.reaches(open, "delivered").await;
    until(PATIENCE, "the other payload purged", async || {
        data(open).await.is_none().then_some(())
    })
    .await;
    let last = receiver.requests().pop().unwrap();
    assert_eq!(last.body, r#"{"a":3}"#);

    // Whatever is sent again says why it cannot be.
    database
        .execute(&format!(
            "INSERT INTO posthorn.pending_deliveries
                 (event_id, subscription_id, generation, state, due_at, shard, transaction_id)
             SELECT '{open}', '{waiting}', 1, 'pending', now(), posthorn.shard_of('later'), 't3'"
        ))
        .await;
    database.publish("later", "t4", "approved", "{}").await;
    until(PATIENCE, "a posting error", async || {
        let found = database.deliveries(open).await;
        let again = found
            .into_iter()
            .find(|delivery| delivery.state == "posting_error")?;
        assert_eq!(again.reason.as_deref(), Some("the event's data was purged"));
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_publisher_cannot_leave_the_data_out() {
    let database = Database::new().await;
    let without = "INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
                   VALUES ('acme', 'k', 't', 's', NULL)";
    assert!(database.try_execute(without).await.is_err());
}
