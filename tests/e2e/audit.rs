//! Every delivery that should be there is, or is found and sent.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Database, PATIENCE, Setup, Worker, posthorn, receiver, until};

/// Runs the audit of the last hour: its exit code, its lines, and the total.
async fn audit(database: &Database, more: &[&str]) -> (Option<i32>, Vec<Value>, Value) {
    let call = ["audit", "--since", "1 hour", "--json", "--database-url"];
    let call = [&call[..], &[&database.url], more].concat();
    let (status, said) = posthorn(&call).await;
    let mut lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{said}")))
        .collect();
    let total = lines.pop().unwrap()["total"].take();
    (status.code(), lines, total)
}

/// Waits until none without a row is unsettled any more: the checkpoints are past them.
async fn settled(database: &Database) -> (Option<i32>, Vec<Value>, Value) {
    until(PATIENCE, "an audit with nothing unsettled", async || {
        let audited = audit(database, &[]).await;
        (audited.2["unsettled"] == 0).then_some(audited)
    })
    .await
}

#[tokio::test]
async fn a_delivery_without_a_row_is_found_and_sent_once() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({"url": receiver.url("/hook")});
    database.subscribe("acme", "orders", url).await;
    let _worker = Setup::new(&database).start().await;
    let lost = database.publish("acme", "t1", "approved", "{}").await;
    database.publish("acme", "t2", "approved", "{}").await;
    database.count_reaches("delivered", 2).await;
    let (code, lines, total) = settled(&database).await;
    assert_eq!(code, Some(0), "{lines:?}");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["merchant"], "acme");
    assert_eq!(
        (&total["expected"], &total["delivered"], &total["missing"]),
        (&json!(2), &json!(2), &json!(0))
    );

    database.forget(lost).await;
    let (code, lines, total) = settled(&database).await;
    assert_eq!(code, Some(1));
    assert_eq!(lines[0]["missing"], 1, "{lines:?}");
    assert_eq!(total["expected"], 2);
    assert_eq!(database.deliveries(lost).await.len(), 0, "it only looked");

    let (code, _, total) = audit(&database, &["--repair"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(
        (&total["missing"], &total["repaired"]),
        (&json!(1), &json!(1))
    );
    database.reaches(lost, "delivered").await;
    let (_, _, again) = audit(&database, &["--repair"]).await;
    assert_eq!(
        (&again["missing"], &again["repaired"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(receiver.requests().len(), 3);

    let url = ["audit", "--since", "2020-01-01", "--database-url"];
    let (status, said) = posthorn(&[&url[..], &[&database.url]].concat()).await;
    assert!(status.success(), "{said}");
    let words: Vec<_> = said.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(words[1..3], ["2", "2"], "{said}");
    assert_eq!(words.last(), Some(&"acme"));
}

#[tokio::test]
async fn the_scheduled_audit_repairs_and_tells() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({"url": receiver.url("/hook")});
    database.subscribe("acme", "orders", url).await;
    let worker = Worker::start(
        &database,
        "[maintenance]\naudit_schedule = '* * * * * *'\naudit_window = '1 hour'",
    )
    .await;
    let lost = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(lost, "delivered").await;
    database.forget(lost).await;
    database.reaches(lost, "delivered").await;
    until(PATIENCE, "the audit's count", async || {
        (worker.metric("posthorn_audit_missing_total").await > 0.0).then_some(())
    })
    .await;
    until(PATIENCE, "the audit's time", async || {
        let at = worker.metric("posthorn_audit_finished_timestamp_seconds");
        (at.await > 1.7e9).then_some(())
    })
    .await;
    worker.logs("deliveries had no row").await;
    let counted: i64 = database
        .value("SELECT sum(missing)::bigint FROM posthorn.audits")
        .await;
    assert_eq!(counted, 1);
}

#[tokio::test]
async fn each_delivery_is_counted_as_what_it_is() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/gone", "404".parse().unwrap());
    let to = |path: &str, mut more: Value| {
        more["url"] = receiver.url(path).into();
        more
    };
    for (merchant, settings) in [
        ("good", to("/", json!({}))),
        ("refused", to("/gone", json!({"give_up_statuses": ["404"]}))),
        ("paused", to("/", json!({"paused": true}))),
        ("picky", to("/", json!({"kinds": ["other"]}))),
        ("off", to("/", json!({"enabled": false}))),
        ("changes", to("/", json!({"emit": "change"}))),
    ] {
        database.subscribe(merchant, "orders", settings).await;
    }
    let mut worker = Setup::new(&database).start().await;
    for merchant in [
        "good", "refused", "paused", "picky", "off", "changes", "none",
    ] {
        database.publish(merchant, "t", "approved", "{}").await;
    }
    database.publish("changes", "t", "approved", "{}").await;
    database.count_reaches("delivered", 2).await;
    database.count_reaches("posting_error", 1).await;
    database.count_reaches("pending", 1).await;
    settled(&database).await;
    // From now on it would have wanted it.
    database
        .execute("UPDATE posthorn.subscriptions SET enabled = true WHERE merchant = 'off'")
        .await;
    assert!(worker.sigterm().await.success());
    let waiting = database.publish("good", "t2", "approved", "{}").await;
    let (code, lines, total) = audit(&database, &["--repair"]).await;
    assert_eq!(code, Some(0));
    let counts = |merchant: &str| {
        let line = lines.iter().find(|line| line["merchant"] == merchant);
        let line = line.unwrap_or_else(|| panic!("{merchant} in {lines:?}"));
        let keys = [
            "expected",
            "delivered",
            "waiting",
            "posting_errors",
            "unsettled",
            "undecided",
        ];
        keys.map(|key| line[key].as_u64().unwrap())
    };
    assert_eq!(counts("good"), [2, 1, 0, 0, 1, 0]);
    assert_eq!(counts("refused"), [1, 0, 0, 1, 0, 0]);
    assert_eq!(counts("paused"), [1, 0, 1, 0, 0, 0]);
    assert_eq!(counts("picky"), [0; 6]);
    assert_eq!(counts("off"), [0; 6]);
    assert_eq!(counts("changes"), [1, 1, 0, 0, 0, 0]);
    assert_eq!(counts("none"), [0; 6]);
    assert_eq!(
        (&total["missing"], &total["events"]),
        (&json!(0), &json!(9))
    );
    assert_eq!(database.deliveries(waiting).await.len(), 0);
}

#[tokio::test]
async fn what_a_transaction_brought_is_looked_for_and_repaired_too() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let settings = json!({"scope": "transaction"});
    database.subscribe("acme", "template", settings).await;
    let _worker = Setup::new(&database).start().await;
    let event: Uuid = database
        .value(&format!(
            "SELECT posthorn.publish('acme', 'k', 't', 's', '{{}}', '{}'::json)",
            json!([{"url": receiver.url("/own")}])
        ))
        .await;
    database.reaches(event, "delivered").await;
    database.forget(event).await;
    settled(&database).await;
    let (_, lines, _) = audit(&database, &["--repair"]).await;
    assert_eq!(lines[0]["repaired"], 1, "{lines:?}");
    database.reaches(event, "delivered").await;
    let paths: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.path_and_query.clone())
        .collect();
    assert_eq!(paths, ["/own", "/own"]);
}

#[tokio::test]
async fn success_that_was_recorded_twice_shows_as_repeated() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({"url": receiver.url("/hook")});
    database.subscribe("acme", "orders", url).await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    database
        .execute(
            "INSERT INTO posthorn.attempts (event_id, subscription_id, number, started_at, duration_us, outcome, http_status, reason)
             SELECT event_id, subscription_id, 2, started_at, 1, 'ok', 200, '200 OK' FROM posthorn.attempts",
        )
        .await;
    let (_, lines, _) = settled(&database).await;
    assert_eq!(lines[0]["repeated"], 1, "{lines:?}");
}

#[tokio::test]
async fn a_call_that_says_nothing_of_use_is_refused() {
    for (arguments, expected) in [
        (&["audit"][..], "--since"),
        (&["audit", "--since", "yesterday"], "2 days"),
        (&["audit", "--seals", "--repair"], "cannot be used with"),
        (
            &["audit", "--since", "1h", "--against", "x"],
            "cannot be used with",
        ),
    ] {
        let (status, said) = posthorn(arguments).await;
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
