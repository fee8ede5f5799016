//! Events that are read late: whether a subscription gets one is said by the settings of the
//! event's time; where it goes, and how, by those of now.

use posthorn::receiver::Receiver;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Database, PATIENCE, Worker, receiver, until};

/// A subscription, and a worker that was there and has gone.
async fn set_up(settings: Value) -> (Database, Receiver) {
    let database = Database::new().await;
    database
        .execute("INSERT INTO posthorn.profiles (name) VALUES ('plain')")
        .await;
    let receiver = receiver().await;
    let mut settings = settings;
    settings["url"] = receiver.url("/").into();
    settings["fields"] = json!([{ "name": "id", "source": "event_id" }]);
    database.subscribe("acme", "orders", settings).await;
    let mut worker = Worker::start(&database, "").await;
    let first = database.publish("acme", "first", "approved", "{}").await;
    until(PATIENCE, "an event that is read", async || {
        let (open, read): (i64, bool) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM posthorn.pending_deliveries),
                    bool_and(pg_visible_in_snapshot((SELECT xid FROM posthorn.events WHERE id = $1), checkpoint))
               FROM posthorn.shards",
        )
        .bind(first)
        .fetch_one(&database.pool)
        .await
        .unwrap();
        (open == 0 && read).then_some(())
    })
    .await;
    assert!(worker.sigterm().await.success());
    (database, receiver)
}

/// How a worker begins to read: from its checkpoint, or by ids.
const STARTS: [(&str, &str); 3] = [
    ("a take-over", "SELECT 1"),
    (
        "a restart of the server",
        "UPDATE posthorn.shards SET cluster = split_part(cluster, '/', 1) || '/00000001/0'",
    ),
    (
        "another cluster",
        "UPDATE posthorn.shards SET cluster = '1/00000001/0'",
    ),
];

/// What becomes of events, with another one behind them that is delivered.
async fn states(database: &Database, events: &[Uuid]) -> Vec<Option<String>> {
    let _worker = Worker::start(database, "").await;
    let last = database.publish("acme", "last", "approved", "{}").await;
    database.reaches(last, "delivered").await;
    let mut states = Vec::new();
    for event in events {
        let deliveries = database.deliveries(*event).await;
        states.push(deliveries.into_iter().next().map(|it| it.state));
    }
    states
}

/// Seen once after a crash of the server: events of a time when the subscription was disabled
/// were sent.
#[tokio::test]
async fn what_was_published_while_a_subscription_was_disabled_is_not_sent_later() {
    for (start, sql) in STARTS {
        let (database, _receiver) = set_up(json!({})).await;
        let set = async |enabled: bool| {
            let sql = format!("UPDATE posthorn.subscriptions SET enabled = {enabled}");
            database.execute(&sql).await;
        };
        let before = database.publish("acme", "before", "approved", "{}").await;
        set(false).await;
        let during = database.publish("acme", "during", "approved", "{}").await;
        set(true).await;
        let after = database.publish("acme", "after", "approved", "{}").await;
        database.execute(sql).await;
        let delivered = || Some("delivered".to_owned());
        let found = states(&database, &[before, during, after]).await;
        assert_eq!(found, [delivered(), None, delivered()], "{start}");
    }
}

#[tokio::test]
async fn what_was_published_before_a_subscription_was_disabled_is_recorded_as_cancelled() {
    for (start, sql) in STARTS {
        let (database, receiver) = set_up(json!({})).await;
        let other = json!({"url": receiver.url("/other")});
        let other = database.subscribe("acme", "other", other).await;
        let before = database.publish("acme", "before", "approved", "{}").await;
        database
            .execute(&format!(
                "UPDATE posthorn.subscriptions SET enabled = false WHERE id <> '{other}'"
            ))
            .await;
        database.execute(sql).await;
        let _worker = Worker::start(&database, "").await;
        until(PATIENCE, start, async || {
            let deliveries = database.deliveries(before).await;
            let states: Vec<_> = deliveries
                .iter()
                .map(|it| (it.subscription.as_str(), it.state.as_str()))
                .collect();
            (states == [("orders", "cancelled"), ("other", "delivered")]).then_some(())
        })
        .await;
    }
}

/// Kinds and statuses, by the subscription, its profile or a lock.
#[tokio::test]
async fn what_a_subscription_wanted_at_the_time_it_gets_whatever_it_wants_now() {
    for (what, change) in [
        (
            "kinds",
            "UPDATE posthorn.subscriptions SET kinds = '{other}'",
        ),
        (
            "statuses",
            "UPDATE posthorn.subscriptions SET statuses = '{other}'",
        ),
        (
            "a profile's",
            "UPDATE posthorn.profiles SET kinds = '{other}' WHERE name = 'plain'",
        ),
        (
            "a lock's",
            "INSERT INTO posthorn.locks (name, merchant, statuses) VALUES ('l', 'acme', '{other}')",
        ),
    ] {
        let (database, receiver) = set_up(json!({"profile": "plain"})).await;
        let wanted = database.publish("acme", "T", "approved", "{}").await;
        database.execute(change).await;
        let not_wanted = database.publish("acme", "T", "approved", "{}").await;
        let _worker = Worker::start(&database, "").await;
        database.reaches(wanted, "delivered").await;
        let later = json!({"url": receiver.url("/later")});
        database.subscribe("later", "orders", later).await;
        let last = database.publish("later", "T", "approved", "{}").await;
        database.reaches(last, "delivered").await;
        assert_eq!(database.deliveries(not_wanted).await.len(), 0, "{what}");
    }
}

/// It went by the address of now, which is where a subscription that moved is.
#[tokio::test]
async fn where_it_goes_is_a_matter_of_now() {
    let (database, receiver) = set_up(json!({})).await;
    let event = database.publish("acme", "T", "approved", "{}").await;
    let moved = receiver.url("/moved");
    database
        .execute(&format!(
            "UPDATE posthorn.subscriptions SET url = '{moved}', kinds = '{{other}}'"
        ))
        .await;
    let _worker = Worker::start(&database, "").await;
    database.reaches(event, "delivered").await;
    let requests = receiver.requests();
    assert_eq!(requests.last().unwrap().path_and_query, "/moved");
}

#[tokio::test]
async fn what_a_transaction_publishes_after_it_enabled_a_subscription_is_sent() {
    let (database, _receiver) = set_up(json!({"enabled": false})).await;
    let event: Uuid = database
        .value(
            "WITH enabled AS (UPDATE posthorn.subscriptions SET enabled = true RETURNING merchant)
             SELECT posthorn.publish(merchant, 'payment', 'T', 'approved', '{}'::json) FROM enabled",
        )
        .await;
    let found = states(&database, &[event]).await;
    assert_eq!(found, [Some("delivered".to_owned())]);
}

/// Changes only, at the time: an event that changed nothing was not for it.
#[tokio::test]
async fn a_repeated_status_from_when_changes_alone_were_wanted_is_not_sent_later() {
    let (database, _receiver) = set_up(json!({"emit": "change"})).await;
    let change = database.publish("acme", "T", "approved", "{}").await;
    let repeated = database.publish("acme", "T", "approved", "{}").await;
    database
        .execute("UPDATE posthorn.subscriptions SET emit = 'every'")
        .await;
    let found = states(&database, &[change, repeated]).await;
    assert_eq!(found, [Some("delivered".to_owned()), None]);
}

/// An address that a transaction brought, by a template that has been disabled since.
#[tokio::test]
async fn a_transaction_s_own_address_goes_by_its_template_s_settings_of_the_time() {
    let (database, receiver) = set_up(json!({"scope": "transaction"})).await;
    let url = receiver.url("/own");
    let publish = async || -> Uuid {
        database
            .value(&format!(
                "SELECT posthorn.publish('acme', 'payment', 'T', 'approved', '{{}}'::json, '[{{\"url\": \"{url}\"}}]'::json)"
            ))
            .await
    };
    let before = publish().await;
    database
        .execute("UPDATE posthorn.subscriptions SET kinds = '{other}'")
        .await;
    let after = database.publish("acme", "T", "approved", "{}").await;
    let _worker = Worker::start(&database, "").await;
    database.reaches(before, "delivered").await;
    let later = json!({"url": receiver.url("/later")});
    database.subscribe("later", "orders", later).await;
    let last = database.publish("later", "T", "approved", "{}").await;
    database.reaches(last, "delivered").await;
    assert_eq!(database.deliveries(after).await.len(), 0);
}
