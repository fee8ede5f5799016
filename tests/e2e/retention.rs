//! Old days go whole, on a schedule, and never with something that is still wanted.

use posthorn::demo::postgres::Settings;
use serde_json::json;
use uuid::Uuid;

use crate::support::processes::kill;
use crate::support::{Database, PATIENCE, Setup, Worker, receiver, until};

/// A delivered event of that day.
async fn old_event(database: &Database, subscription: Uuid, days_ago: i32) -> Uuid {
    let id: Uuid = database
        .value(&format!(
            "SELECT (left(posthorn.uuid_floor(now() - interval '{days_ago} days')::text, 14)
                     || right(gen_random_uuid()::text, 22))::uuid"
        ))
        .await;
    database
        .execute(&format!(
            "INSERT INTO posthorn.events (id, xid, merchant, kind, transaction_id, status)
             SELECT '{id}', '3', merchant, 'payment', 'T-{days_ago}', 'approved'
               FROM posthorn.subscriptions WHERE id = '{subscription}';
             INSERT INTO posthorn.deliveries (event_id, subscription_id, attempts, state)
             VALUES ('{id}', '{subscription}', 1, 'delivered');
             INSERT INTO posthorn.attempts (event_id, subscription_id, number, started_at, duration_us,
                    outcome, http_status, reason)
             VALUES ('{id}', '{subscription}', 1, now(), 1, 'ok', 200, 'OK')"
        ))
        .await;
    id
}

/// Which of events, deliveries and attempts have a partition of that day.
async fn parts(database: &Database, days_ago: i32) -> i64 {
    database
        .value(&format!(
            "SELECT count(*) FROM unnest(ARRAY['events', 'deliveries', 'attempts']) AS parent
              WHERE to_regclass('posthorn.' || parent || to_char(current_date - {days_ago}, '_YYYYMMDD')) IS NOT NULL"
        ))
        .await
}

async fn gone(database: &Database, days_ago: i32) {
    let what = format!("the day {days_ago} days ago is gone");
    until(PATIENCE, &what, async || {
        (parts(database, days_ago).await == 0).then_some(())
    })
    .await;
}

async fn each_second(database: &Database) -> Worker {
    Setup::new(database)
        .toml("[maintenance]\nschedule = \"* * * * * *\"\nretention_days = 2")
        .start()
        .await
}

#[tokio::test]
async fn a_day_goes_whole_and_one_that_a_replay_needs_stays_until_it_has_been_delivered() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({"url": receiver.url("/"), "paused": true});
    let subscription = database.subscribe("acme", "orders", url).await;
    for days in [3, 5, 7] {
        database.make_day(days).await;
        old_event(&database, subscription, days).await;
    }
    // The day 3 days ago is asked for; the worker may not read it yet.
    let replay: Uuid = database
        .value("SELECT posthorn.replay('acme', transaction_id => 'T-3')")
        .await;
    database
        .execute("UPDATE posthorn.replays SET state = 'paused'")
        .await;
    let mut worker = each_second(&database).await;
    database.publish("acme", "T-now", "approved", "{}").await;
    gone(&database, 7).await;
    gone(&database, 5).await;
    let left: i64 = database
        .value("SELECT count(*) FROM posthorn.deliveries d WHERE NOT EXISTS (SELECT FROM posthorn.events e WHERE e.id = d.event_id)")
        .await;
    assert_eq!(left, 0, "no ledger row without its event");
    assert_eq!(
        parts(&database, 3).await,
        3,
        "a paused replay has still to read it"
    );

    // Now it is opened, and waits for its subscription.
    database
        .execute("UPDATE posthorn.replays SET state = 'running'")
        .await;
    until(PATIENCE, "an open replay", async || {
        let done: String = database
            .value(&format!(
                "SELECT state FROM posthorn.replays WHERE id = '{replay}'"
            ))
            .await;
        (done == "done").then_some(())
    })
    .await;
    let rounds = worker.log().matches("dropped partitions").count();
    assert!(rounds >= 1);
    database.execute("SELECT posthorn.drop_partitions(2)").await;
    assert_eq!(
        parts(&database, 3).await,
        3,
        "an open delivery keeps its day"
    );
    database
        .execute("UPDATE posthorn.subscriptions SET paused = false")
        .await;
    gone(&database, 3).await;
    assert_eq!(
        receiver.requests().len(),
        2,
        "the replay, and the event of today"
    );
    assert!(worker.sigterm().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_at_the_time_delays_it_and_nothing_more() {
    let (database, mut postgres) = Database::alone(Settings::fast()).await;
    let receiver = receiver().await;
    let url = json!({"url": receiver.url("/")});
    let subscription = database.subscribe("acme", "orders", url).await;
    let mut worker = each_second(&database).await;
    let event = database.publish("acme", "T-now", "approved", "{}").await;
    database.reaches(event, "delivered").await;

    kill(postgres.postmaster_pid());
    worker.logs("cannot drop partitions").await;
    tokio::task::block_in_place(|| postgres.start_again()).unwrap();
    database.make_day(4).await;
    old_event(&database, subscription, 4).await;
    gone(&database, 4).await;
    let event = database.publish("acme", "T-later", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    assert!(!worker.has_ended());
}
