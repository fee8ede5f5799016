//! Rules that an administrator added to the tables refuse what a worker writes. What is refused
//! is what ends, or does not; all else goes on, and a worker hands everything over.

use posthorn::receiver::Receiver;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Database, Delivery, PATIENCE, SHORT_LEASE, Setup, receiver, until};

const SLOW: &str = "200,delay=1500ms";

async fn only(database: &Database, event: Uuid) -> Delivery {
    let mut found = database.deliveries(event).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The worker ends in order, and its successor has nothing to do: the checkpoints have moved on.
async fn nothing_is_left(
    database: &Database,
    worker: &mut crate::support::Worker,
    receiver: &Receiver,
) {
    let status = worker.sigterm().await;
    assert!(status.success(), "{}", worker.log());
    let requests = receiver.received();
    let next = Setup::new(database).toml(SHORT_LEASE).start().await;
    let after = database.publish("other", "after", "approved", "{}").await;
    database.reaches(after, "delivered").await;
    assert_eq!(receiver.received(), requests + 1, "{}", next.log());
}

/// `acme` is slow to answer, `other` answers at once.
async fn subscribe_both(database: &Database, receiver: &Receiver) {
    receiver.on("/slow", SLOW.parse().unwrap());
    let slow = json!({ "url": receiver.url("/slow") });
    database.subscribe("acme", "slow", slow).await;
    let other = json!({ "url": receiver.url("/") });
    database.subscribe("other", "fast", other).await;
}

/// Seen: a message that was received stood in the ledger as `posting_error, attempts 0`, because
/// the row that it was to get while it was in the air was refused.
#[tokio::test]
async fn a_row_that_is_refused_ends_nothing_that_is_being_sent() {
    let database = Database::new().await;
    let receiver = receiver().await;
    subscribe_both(&database, &receiver).await;
    database
        .execute("ALTER TABLE posthorn.pending_deliveries ADD CHECK (transaction_id <> 'refused')")
        .await;
    let mut worker = Setup::new(&database).start().await;
    let first = database.publish("acme", "refused", "open", "{}").await;
    let second = database.publish("acme", "refused", "done", "{}").await;
    for event in [first, second] {
        let delivery = database.reaches(event, "delivered").await;
        assert_eq!((delivery.attempts, delivery.reason), (1, None));
    }
    worker.logs("refuses").await;
    nothing_is_left(&database, &mut worker, &receiver).await;
    assert_eq!(receiver.endpoint("/slow").received(), 2, "each once");
}

/// The same where the refusal comes while shards are handed over: the next owner reads on from
/// the checkpoint that was left standing.
#[tokio::test]
async fn what_cannot_have_a_row_is_left_to_the_next_owner() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hangs", "hang,times=1,then=200".parse().unwrap());
    let url = json!({ "url": receiver.url("/hangs"), "max_in_flight": 1 });
    database.subscribe("acme", "hangs", url).await;
    let trigger = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE EXCEPTION 'not on my watch'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON posthorn.pending_deliveries
            FOR EACH ROW EXECUTE FUNCTION refuse()";
    database.execute(trigger).await;
    let mut worker = Setup::new(&database)
        .toml("worker.grace = '500ms'")
        .start()
        .await;
    let first = database.publish("acme", "t1", "open", "{}").await;
    let second = database.publish("acme", "t2", "open", "{}").await;
    receiver
        .endpoint("/hangs")
        .wait_for(1, PATIENCE)
        .await
        .unwrap();
    worker.logs("refuses").await;
    let status = worker.sigterm().await;
    assert!(status.success(), "{}", worker.log());
    let _next = Setup::new(&database).start().await;
    for event in [first, second] {
        let delivery = database.reaches(event, "delivered").await;
        assert_eq!(delivery.attempts, 1);
    }
}

/// What waits, and cannot, ends; nobody was sent anything.
#[tokio::test]
async fn what_is_to_wait_and_cannot_is_a_posting_error_that_says_so() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let paused = json!({ "url": receiver.url("/"), "paused": true });
    database.subscribe("acme", "paused", paused).await;
    let other = json!({ "url": receiver.url("/") });
    database.subscribe("other", "fast", other).await;
    database
        .execute("ALTER TABLE posthorn.pending_deliveries ADD CHECK (attempts > 0)")
        .await;
    let mut worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "open", "{}").await;
    let ended = database.reaches(event, "posting_error").await;
    assert_eq!(ended.attempts, 0);
    let reason = ended.reason.unwrap();
    assert!(
        reason.contains("the database refuses to keep it until it can be sent"),
        "{reason}"
    );
    nothing_is_left(&database, &mut worker, &receiver).await;
}

/// Seen: a newer event was never sent, and the older one waited for ever.
#[tokio::test]
async fn a_place_that_cannot_be_taken_stops_neither_event() {
    for order in ["none", "transaction"] {
        let database = Database::new().await;
        let receiver = receiver().await;
        receiver.on("/", "503,times=1,then=200".parse().unwrap());
        let settings = json!({
            "url": receiver.url("/"), "supersede": true, "order": order,
            "retry": "fixed", "retry_interval": "2s",
        });
        database.subscribe("acme", "orders", settings).await;
        let other = json!({ "url": receiver.url("/other") });
        database.subscribe("other", "fast", other).await;
        database
            .execute("ALTER TABLE posthorn.deliveries ADD CHECK (state <> 'superseded')")
            .await;
        let mut worker = Setup::new(&database).start().await;
        let older = database.publish("acme", "t1", "open", "{}").await;
        database.reaches(older, "pending_retry").await;
        let newer = database.publish("acme", "t1", "done", "{}").await;
        let newer = database.reaches(newer, "delivered").await;
        assert_eq!((newer.attempts, newer.reason), (1, None), "{order}");
        let older = database.reaches(older, "delivered").await;
        assert_eq!((older.attempts, older.reason), (2, None), "{order}");
        nothing_is_left(&database, &mut worker, &receiver).await;
    }
}

/// What a receiver says is one thing, that it has the message another.
#[tokio::test]
async fn a_text_that_is_refused_takes_nothing_else_with_it() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/good", "200,body=Poison".parse().unwrap());
    receiver.on(
        "/bad",
        "503,reason=Poison,times=1,then=200".parse().unwrap(),
    );
    let settings =
        |path| json!({ "url": receiver.url(path), "retry": "fixed", "retry_interval": "100ms" });
    database.subscribe("acme", "bad", settings("/bad")).await;
    database.subscribe("acme", "good", settings("/good")).await;
    database
        .execute("ALTER TABLE posthorn.attempts ADD CHECK ((reason || coalesce(body, '')) NOT LIKE '%Poison%')")
        .await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "open", "{}").await;
    database.count_reaches("delivered", 2).await;
    let attempts: Vec<i32> = database
        .deliveries(event)
        .await
        .iter()
        .map(|it| it.attempts)
        .collect();
    assert_eq!(attempts, [2, 1]);
    let kept: Vec<(i32, i16, String)> = sqlx::query_as(
        "SELECT number, http_status, reason FROM posthorn.attempts ORDER BY http_status DESC, number",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!((kept[0].0, kept[0].1), (1, 503));
    assert!(
        kept[0].2.contains("refuses the receiver's text"),
        "{kept:?}"
    );
}

/// The same of the whole attempt, where even its row is refused.
#[tokio::test]
async fn an_attempt_that_is_refused_is_counted_all_the_same() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({ "url": receiver.url("/") });
    database.subscribe("acme", "orders", url).await;
    database
        .execute("ALTER TABLE posthorn.attempts ADD CHECK (http_status <> 200)")
        .await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "open", "{}").await;
    assert_eq!(database.reaches(event, "delivered").await.attempts, 1);
    let attempts = "SELECT count(*) FROM posthorn.attempts";
    assert_eq!(database.value::<i64>(attempts).await, 0);
}

/// Seen: nobody was told, so the checkpoint stood still and no shard could be handed over.
#[tokio::test]
async fn what_cannot_be_recorded_at_all_holds_nothing_up() {
    let database = Database::new().await;
    let receiver = receiver().await;
    subscribe_both(&database, &receiver).await;
    let refused = format!(
        "ALTER TABLE posthorn.deliveries ADD CHECK (event_id >= '{}')",
        Uuid::max()
    );
    database.execute(&refused).await;
    let mut worker = Setup::new(&database).start().await;
    // With a row, and without one.
    let slow = database.publish("acme", "t1", "open", "{}").await;
    database.publish("other", "t1", "open", "{}").await;
    until(PATIENCE, "two that are given up", async || {
        let refused = worker.metric("posthorn_entries_refused_total").await;
        (refused >= 2.0).then_some(())
    })
    .await;
    assert_eq!(only(&database, slow).await.state, "pending", "as it was");
    database
        .execute("ALTER TABLE posthorn.deliveries DROP CONSTRAINT deliveries_event_id_check")
        .await;
    let after = database.publish("other", "t2", "open", "{}").await;
    database.reaches(after, "delivered").await;
    assert_eq!(
        receiver.endpoint("/slow").received(),
        1,
        "not sent again here"
    );
    let status = worker.sigterm().await;
    assert!(status.success(), "{}", worker.log());
}

/// An index of somebody's own knows no generations.
#[tokio::test]
async fn a_unique_index_of_somebodys_own_stops_no_other_delivery() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({ "url": receiver.url("/") });
    database.subscribe("acme", "orders", url).await;
    database
        .execute("CREATE UNIQUE INDEX own ON posthorn.attempts (event_id, subscription_id)")
        .await;
    receiver.on("/", "503,times=1,then=200".parse().unwrap());
    database
        .execute("UPDATE posthorn.subscriptions SET retry = 'fixed', retry_interval = '100ms'")
        .await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "open", "{}").await;
    assert_eq!(database.reaches(event, "delivered").await.attempts, 2);
    let after = database.publish("acme", "t2", "open", "{}").await;
    database.reaches(after, "delivered").await;
}
