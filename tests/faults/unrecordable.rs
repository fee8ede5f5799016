//! An outcome that the database refuses to record stops nothing else.

use std::time::Duration;

use serde_json::json;

use crate::rig::{PATIENCE, Rig, behaviour, wait_until};

const MERCHANTS: usize = 10;
/// A lane whose endpoint fails is not slowed down: each event is tried soon.
const NO_BREAKER: &str = "lanes.breaker_failures = 1000000";

const ERRORS: &str = "SELECT count(*) FROM posthorn.delivery_status
                       WHERE state = 'posting_error' AND subscription = 'bad'
                         AND reason LIKE '%the database refuses%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_outcome_is_recorded_without_what_is_refused() {
    let rig = Rig::set_up().await;
    for merchant in 0..MERCHANTS {
        rig.subscribe(&format!("m{merchant}"), "good", json!({}))
            .await;
    }
    rig.subscribe("m0", "bad", json!({ "max_attempts": 1 }))
        .await;
    rig.receiver.on("/m0/bad", behaviour("503,reason=Poison"));
    rig.database
        .execute("ALTER TABLE posthorn.attempts ADD CHECK (reason NOT LIKE '%Poison%')")
        .await;
    let worker = rig.worker("one", NO_BREAKER).await;
    let count = rig.publish(MERCHANTS, 200.0, Duration::from_secs(3)).await;
    rig.until_all_have_ended().await;
    rig.assert_ledger_is_exact().await;
    let bad = rig
        .number("SELECT count(*) FROM posthorn.events WHERE merchant = 'm0'")
        .await;
    assert_eq!(rig.number(ERRORS).await, bad);
    let good = "SELECT count(*) FROM posthorn.delivery_status WHERE state = 'delivered'";
    assert_eq!(usize::try_from(rig.number(good).await).unwrap(), count);
    worker.logs("refuses to record").await;
}

/// A limit of the server rather than a rule of the schema. Without the rule for its length,
/// a transaction id that the index of events just takes is too long for the one of pending
/// deliveries: it cannot wait for a retry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_too_long_for_an_index_stops_nobody_else() {
    let rig = Rig::set_up().await;
    rig.subscribe("m0", "bad", json!({})).await;
    rig.receiver.on("/m0/bad", behaviour("503"));
    rig.subscribe("m1", "good", json!({})).await;
    let _worker = rig.worker("one", NO_BREAKER).await;
    rig.database
        .execute(
            "ALTER TABLE posthorn.events
               DROP CONSTRAINT events_transaction_id_has_1_to_1000_bytes;
             DROP TRIGGER refuse_event ON posthorn.events;
             INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
             SELECT 'm0', 'payment', left(string_agg(md5(random()::text), ''), 2664), 'approved'
               FROM generate_series(1, 90)",
        )
        .await;
    wait_until("the bad one was tried", async || {
        rig.receiver.received() > 0
    })
    .await;
    rig.publish(2, 50.0, Duration::from_secs(2)).await;
    wait_until("the good ones are recorded", async || {
        rig.number(
            "SELECT count(*) FROM posthorn.events e WHERE e.merchant = 'm1' AND NOT EXISTS
             (SELECT FROM posthorn.deliveries d WHERE d.event_id = e.id)",
        )
        .await
            == 0
    })
    .await;
    assert_eq!(rig.number(ERRORS).await, 1);
}

/// A batch whose answer did not come in time is written again, while the first one may still
/// be at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_twice_at_the_same_time_is_no_refusal() {
    let rig = Rig::set_up().await;
    let retries = json!({ "retry": "fixed", "retry_interval": "200ms" });
    let subscription = rig.subscribe("m0", "flaky", retries).await;
    let endpoint = rig
        .receiver
        .on("/m0/flaky", behaviour("503,delay=500ms,times=1,then=200"));
    let worker = rig.worker("one", "").await;
    let event = rig.database.publish("m0", "t1", "approved", "{}").await;
    endpoint.wait_for(1, PATIENCE).await.unwrap();
    let mut first = rig.pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO posthorn.attempts (event_id, subscription_id, number, started_at, duration_us,
                outcome, http_status, reason)
         VALUES ($1, $2, 1, now(), 1, 'status', 503, 'of the first batch')",
    )
    .bind(event)
    .bind(subscription)
    .execute(&mut *first)
    .await
    .unwrap();
    wait_until("the second one waits for the first", async || {
        rig.number("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'")
            .await
            > 0
    })
    .await;
    first.commit().await.unwrap();
    let ended = rig.database.reaches(event, "delivered").await;
    assert_eq!(ended.attempts, 2);
    assert!(
        !worker.log().contains("refuses to record"),
        "{}",
        worker.log()
    );
}
