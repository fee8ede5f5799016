//! Replays: counted beforehand, carried out by workers at a rate, steered, and never in the
//! way of what happens now.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Database, PATIENCE, SHORT_LEASE, Setup, posthorn, receiver, until};

async fn replay(database: &Database, arguments: &[&str]) -> (Option<i32>, String) {
    let url = ["--database-url", &database.url];
    let (status, said) = posthorn(&[&["replay"], arguments, &url].concat()).await;
    (status.code(), said)
}

/// Asks for one; returns its id.
async fn ask(database: &Database, arguments: &[&str]) -> String {
    let (code, said) = replay(database, arguments).await;
    assert_eq!(code, Some(0), "{said}");
    said.lines().next().unwrap().to_owned()
}

async fn steer(database: &Database, verb: &str, id: &str) {
    let (code, said) = replay(database, &[verb, id]).await;
    assert_eq!(code, Some(0), "{said}");
}

async fn show(database: &Database, id: &str) -> Value {
    let (code, said) = replay(database, &["show", id, "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(said.trim()).unwrap()
}

async fn reaches(database: &Database, id: &str, state: &str) -> Value {
    until(PATIENCE, &format!("a replay that is {state}"), async || {
        let found = show(database, id).await;
        (found["state"] == state && found["open"] == 0).then_some(found)
    })
    .await
}

/// Events whose first delivery has ended so, without a worker.
async fn ended(database: &Database, subscription: Uuid, count: usize, state: &str) {
    let reason = if state == "delivered" {
        "NULL"
    } else {
        "'gave up'"
    };
    database
        .execute(&format!(
            "WITH e AS (INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
                        SELECT s.merchant, 'payment', 'T-' || n, '{state}'
                          FROM posthorn.subscriptions s, generate_series(1, {count}) AS n
                         WHERE s.id = '{subscription}' RETURNING id)
             INSERT INTO posthorn.deliveries (event_id, subscription_id, attempts, state, reason)
             SELECT id, '{subscription}', 1, '{state}', {reason} FROM e"
        ))
        .await;
}

#[tokio::test]
async fn what_failed_is_previewed_and_delivered_again_under_the_same_id() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/", "500".parse().unwrap());
    let settings = json!({
        "url": receiver.url("/"), "profile": "standard", "signing": "none",
        "max_attempts": 1, "max_age": "PT1S",
    });
    database.subscribe("acme", "orders", settings.clone()).await;
    database.subscribe("other", "orders", settings).await;
    let worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "T-1", "approved", "{}").await;
    database.publish("other", "T-1", "approved", "{}").await;
    database.count_reaches("posting_error", 2).await;

    let filter = [
        "--merchant",
        "acme",
        "--state",
        "posting_error",
        "--since",
        "1h",
    ];
    let (code, said) = replay(&database, &[&filter[..], &["--preview"]].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("acme      orders        posting_error  1"),
        "{said}"
    );
    assert!(said.contains("1 deliveries would be made again"), "{said}");
    assert!(!said.contains("other"), "{said}");
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM posthorn.replays")
            .await,
        0
    );

    receiver.on("/", "500,times=1,then=200".parse().unwrap());
    database
        .execute("UPDATE posthorn.subscriptions SET max_attempts = 3, max_age = '1 hour', retry = 'fixed', retry_interval = '50 ms'")
        .await;
    let before = receiver.requests().len();
    let id = ask(&database, &filter).await;
    let done = reaches(&database, &id, "done").await;
    assert_eq!(done["opened"], 1);
    assert_eq!(done["created_by"], "posthorn");
    let states: Vec<(String, i32)> = database
        .deliveries(event)
        .await
        .into_iter()
        .map(|it| (it.state, it.attempts))
        .collect();
    assert_eq!(
        states,
        [("posting_error".to_owned(), 1), ("delivered".to_owned(), 2)],
        "the old generation stands, and the new one was tried from the start"
    );
    let requests = receiver.requests();
    assert_eq!(requests.len(), before + 2);
    let ids: Vec<&str> = requests
        .iter()
        .map(|request| request.headers["webhook-id"].to_str().unwrap())
        .filter(|id| id.contains(&event.to_string()) || *id == event.to_string())
        .collect();
    assert_eq!(ids.len(), 3, "once, and twice by the replay");
    assert!(worker.metric("posthorn_deliveries_replayed_total").await >= 1.0);

    // What was delivered in the end is not among the errors any more.
    let (_, said) = replay(&database, &[&filter[..], &["--preview"]].concat()).await;
    assert!(said.starts_with("0 deliveries"), "{said}");
    let (_, said) = replay(&database, &["list"]).await;
    assert!(said.contains("merchant acme posting_error"), "{said}");
}

#[tokio::test]
async fn events_that_a_disabled_subscription_never_got_are_filled_in() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = receiver.url("/");
    database
        .execute("INSERT INTO posthorn.locks (name, kinds) VALUES ('payments', '{pay*,refund}')")
        .await;
    let settings = json!({"url": url, "enabled": false, "statuses": ["appr*"], "emit": "change"});
    let off = database.subscribe("acme", "off", settings).await;
    let template = json!({"url": url, "scope": "transaction", "enabled": false});
    database.subscribe("acme", "template", template).await;
    let worker = Setup::new(&database).start().await;
    let wanted = database.publish("acme", "T-1", "approved", "{}").await;
    let repeated = database.publish("acme", "T-1", "approved", "{}").await;
    let unwanted = database.publish("acme", "T-1", "declined", "{}").await;
    database
        .execute(&format!(
            "SELECT posthorn.publish('acme', 'payment', 'T-2', 'declined', '{{}}', '{{\"url\": \"{url}\"}}');
             SELECT posthorn.publish('acme', 'other', 'T-3', 'approved')"
        ))
        .await;
    until(PATIENCE, "all read, for nobody", async || {
        (worker.metric("posthorn_events_read_total").await >= 5.0).then_some(())
    })
    .await;
    database
        .execute("UPDATE posthorn.subscriptions SET enabled = true")
        .await;
    // It is younger than all of these, and wants some of them too.
    let young = json!({"url": url, "statuses": ["approved"]});
    database.subscribe("acme", "young", young).await;

    let id = ask(&database, &["--merchant", "acme", "--state", "missing"]).await;
    let done = reaches(&database, &id, "done").await;
    assert_eq!(done["opened"], 4, "{done}");
    let got = async |event| {
        let found = database.deliveries(event).await;
        found
            .into_iter()
            .map(|it| it.subscription)
            .collect::<Vec<_>>()
    };
    assert_eq!(got(wanted).await, ["off", "young"]);
    assert_eq!(got(repeated).await, ["young"]);
    assert_eq!(got(unwanted).await, Vec::<String>::new());
    let callbacks: i64 = database
        .value("SELECT count(*) FROM posthorn.delivery_status WHERE subscription = 'template' AND transaction_id = 'T-2' AND state = 'delivered'")
        .await;
    assert_eq!(callbacks, 1);
    // Nothing is missing any more, and the disabled are passed over.
    let again = ask(&database, &["--merchant", "acme", "--state", "missing"]).await;
    assert_eq!(reaches(&database, &again, "done").await["opened"], 0);
    database
        .execute(&format!(
            "UPDATE posthorn.subscriptions SET enabled = false WHERE id = '{off}'"
        ))
        .await;
    let off = off.to_string();
    let id = ask(&database, &["--subscription", &off]).await;
    let done = reaches(&database, &id, "done").await;
    assert_eq!((&done["opened"], &done["disabled"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn a_replay_keeps_to_its_rate_is_paused_resumed_and_survives_its_worker() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let subscription = database
        .subscribe("acme", "orders", json!({"url": receiver.url("/")}))
        .await;
    ended(&database, subscription, 120, "delivered").await;
    let mut worker = Setup::new(&database).toml(SHORT_LEASE).start().await;
    let started = std::time::Instant::now();
    let id = ask(&database, &["--merchant", "acme", "--rate", "40/s"]).await;
    until(PATIENCE, "some of it", async || {
        (show(&database, &id).await["opened"].as_i64().unwrap() >= 10).then_some(())
    })
    .await;
    steer(&database, "pause", &id).await;
    let paused = reaches(&database, &id, "paused").await;
    let opened = paused["opened"].as_i64().unwrap();
    assert!(opened < 120);
    worker.kill9().await;
    let worker = Setup::new(&database).start().await;
    // A live delivery makes its way while the replay is paused, and opens nothing of it.
    let event = database.publish("acme", "T-new", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    assert_eq!(show(&database, &id).await["opened"], opened);
    steer(&database, "resume", &id).await;
    let done = reaches(&database, &id, "done").await;
    assert_eq!(done["opened"], 120);
    assert!(
        started.elapsed() >= Duration::from_millis(2500),
        "120 at 40 a second"
    );
    let generations: (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT event_id) FROM posthorn.deliveries WHERE generation = 1",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(generations, (120, 120), "each once");
    // What a replay waited is not what an event waits.
    let first = worker
        .metric("posthorn_first_attempt_delay_seconds_count")
        .await;
    assert!((first - 1.0).abs() < 0.5, "{first}");
    let (code, said) = replay(&database, &["resume", &id]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is done; it cannot become running"), "{said}");
}

#[tokio::test]
async fn cancelling_withdraws_what_is_not_delivered_yet() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/", "503".parse().unwrap());
    let settings = json!({"url": receiver.url("/"), "retry": "fixed", "retry_interval": "1h"});
    let subscription = database.subscribe("acme", "orders", settings).await;
    ended(&database, subscription, 50, "posting_error").await;
    let _worker = Setup::new(&database).start().await;
    let id = ask(&database, &["--merchant", "acme", "--rate", "1000"]).await;
    until(PATIENCE, "all open, and some tried", async || {
        let tried: i64 = database
            .value("SELECT count(*) FROM posthorn.pending_deliveries WHERE state = 'pending_retry'")
            .await;
        (show(&database, &id).await["open"] == 50 && tried > 0).then_some(())
    })
    .await;
    steer(&database, "cancel", &id).await;
    reaches(&database, &id, "cancelled").await;
    let reasons: Vec<String> = database
        .value("SELECT array_agg(DISTINCT state || ': ' || reason) FROM posthorn.deliveries WHERE generation = 1")
        .await;
    assert_eq!(reasons, ["cancelled: the replay was cancelled"]);
}

#[tokio::test]
async fn what_was_purged_or_is_open_is_passed_over_and_counted() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({"url": receiver.url("/"), "paused": true});
    let subscription = database.subscribe("acme", "orders", url).await;
    ended(&database, subscription, 3, "delivered").await;
    database
        .execute("UPDATE posthorn.events SET data = NULL, purged_at = now() WHERE transaction_id = 'T-2'")
        .await;
    let _worker = Setup::new(&database).start().await;
    let first = ask(&database, &["--transaction", "T-1"]).await;
    until(PATIENCE, "one that is open", async || {
        (show(&database, &first).await["open"] == 1).then_some(())
    })
    .await;
    let (_, said) = replay(&database, &["--merchant", "acme", "--preview"]).await;
    assert!(said.contains("passed over: open already"), "{said}");
    assert!(
        said.contains("passed over: the payload was purged"),
        "{said}"
    );
    let second = ask(&database, &["--merchant", "acme"]).await;
    let done = until(PATIENCE, "the second done", async || {
        let found = show(&database, &second).await;
        (found["state"] == "done").then_some(found)
    })
    .await;
    for (count, expected) in [("opened", 1), ("already_open", 1), ("purged", 1)] {
        assert_eq!(done[count], expected, "{count}");
    }
    database
        .execute("UPDATE posthorn.subscriptions SET paused = false")
        .await;
    reaches(&database, &second, "done").await;
    reaches(&database, &first, "done").await;
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_remedy() {
    let database = Database::new().await;
    database
        .subscribe("acme", "orders", json!({"url": "http://a/"}))
        .await;
    let nobody = Uuid::nil().to_string();
    for (arguments, code, expected) in [
        (&[][..], 1, "this would replay everything; Give a merchant"),
        (
            &["--merchant", "acmee"],
            1,
            "the merchant 'acmee' has no subscription; Look into",
        ),
        (
            &["--merchant", "acme", "--subscription", "x"],
            1,
            "no subscription 'x'; The merchant has orders.",
        ),
        (
            &["--subscription", "orders"],
            1,
            "Give its id, or its merchant as well.",
        ),
        (&["--event", &nobody], 1, "there is no event"),
        (
            &["--transaction", "T-9"],
            1,
            "there is no event of the transaction 'T-9'",
        ),
        (&["--since", "2100-01-01"], 1, "is not before until"),
        (
            &["--since", "1h", "--state", "pending"],
            2,
            "[possible values: delivered, posting_error",
        ),
        (&["--since", "1h", "--rate", "0"], 2, "0.01 to 10000"),
        (
            &["pause", &nobody],
            1,
            "`posthorn replay list` shows those that are",
        ),
        (&["show", "7"], 2, "UUID"),
    ] {
        let (status, said) = replay(&database, arguments).await;
        assert_eq!(status, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
