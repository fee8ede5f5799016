//! All sockets of a worker are taken by endpoints that take their time.

use serde_json::json;

use crate::support::{Database, PATIENCE, Setup, receiver, until};

const SLOW: usize = 12;

/// Seen: the lane that stood first took each socket that came free, and a merchant whose
/// endpoint answers at once got nothing until the others were through.
#[tokio::test]
async fn an_endpoint_that_answers_at_once_does_not_wait_for_slow_ones() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/slow", "200,delay=1s".parse().unwrap());
    receiver.on("/fast", "200".parse().unwrap());
    for merchant in 0..SLOW {
        let settings =
            json!({ "url": receiver.url("/slow"), "max_in_flight": 10, "timeout": "5 seconds" });
        database
            .subscribe(&format!("slow{merchant}"), "orders", settings)
            .await;
    }
    database
        .subscribe("fast", "orders", json!({ "url": receiver.url("/fast") }))
        .await;
    let _worker = Setup::new(&database)
        .toml("lanes.max_in_flight_total = 20")
        .start()
        .await;
    database
        .execute(&format!(
            "SELECT posthorn.publish('slow' || n % {SLOW}, 'payment', 'T-' || n, 'open', '{{}}'::json)
               FROM generate_series(1, 40 * {SLOW}) AS n"
        ))
        .await;
    let slow = receiver.endpoint("/slow");
    slow.wait_for(30, PATIENCE).await.unwrap();
    for count in 1..=10 {
        database
            .execute("SELECT posthorn.publish('fast', 'payment', gen_random_uuid()::text, 'open', '{}'::json)")
            .await;
        receiver
            .endpoint("/fast")
            .wait_for(count, PATIENCE)
            .await
            .unwrap();
    }
    let left = 40 * SLOW - usize::try_from(slow.received()).unwrap();
    assert!(left > 15 * SLOW, "only {left} of the slow ones were left");
    // Nor do they starve one another: each had about as many.
    let spread = "SELECT coalesce(max(n) - min(n), 0) FROM (
         SELECT count(a.event_id) AS n FROM posthorn.subscriptions s
           LEFT JOIN posthorn.attempts a ON a.subscription_id = s.id
          WHERE s.merchant LIKE 'slow%' GROUP BY s.id) AS each";
    until(PATIENCE, "each has had its share", async || {
        let least: i64 = database
            .value(
                "SELECT coalesce(min(n), 0) FROM (
                     SELECT count(a.event_id) AS n FROM posthorn.subscriptions s
                       LEFT JOIN posthorn.attempts a ON a.subscription_id = s.id
                      WHERE s.merchant LIKE 'slow%' GROUP BY s.id) AS each",
            )
            .await;
        (least >= 5).then_some(())
    })
    .await;
    let spread: i64 = database.value(spread).await;
    assert!(spread <= 6, "{spread}");
}
