//! A batch that nobody waits for any more is committed while the next try writes it again.

use serde_json::json;

use crate::support::{Database, Worker, receiver};

#[tokio::test]
async fn what_is_committed_meanwhile_is_left_out_and_the_rest_is_written() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hook", "503,delay=2s".parse().unwrap());
    let settings =
        json!({"url": receiver.url("/hook"), "retry": "fixed", "retry_interval": "1 hour"});
    let subscription = database.subscribe("acme", "orders", settings).await;
    let worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;

    let mut earlier = database.pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO posthorn.attempts (event_id, subscription_id, started_at, number, duration_us,
                                        outcome, http_status, reason)
         VALUES ($1, $2, now(), 1, 1, 'status', 503, 'of the earlier one')",
    )
    .bind(event)
    .bind(subscription)
    .execute(&mut *earlier)
    .await
    .unwrap();
    database
        .counts(
            "a batch that meets the earlier one",
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND wait_event_type = 'Lock'
                AND wait_event = 'transactionid'",
            |waiting| waiting > 0,
        )
        .await;
    earlier.commit().await.unwrap();

    let delivery = database.reaches(event, "pending_retry").await;
    assert_eq!(delivery.attempts, 1);
    let reasons: Vec<String> = database
        .value("SELECT array_agg(reason) FROM posthorn.attempts")
        .await;
    assert_eq!(reasons, ["of the earlier one"]);
    assert!(!worker.log().contains("refuse"), "{}", worker.log());
}
