//! InstaMed's webhook (WIRE.md 1).

use serde_json::json;

use super::{arrived, attempts, header};
use crate::support::{Database, PATIENCE, Worker, receiver, until};

#[tokio::test]
async fn only_200_is_stored_and_after_five_attempts_it_is_a_posting_error() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/late", "201,times=4,then=200".parse().unwrap());
    receiver.on("/never", "201".parse().unwrap());
    let wanted = json!(["payment.*"]);
    for (name, more) in [
        // The interval is the profile's thirty minutes, but for a test.
        ("late", json!({"kinds": wanted, "retry_interval": "500ms"})),
        ("never", json!({"kinds": wanted, "retry_interval": "50ms"})),
        ("as-shipped", json!({"kinds": wanted})),
        // The profile alone: both kinds of notifications are off.
        ("off", json!({})),
    ] {
        let mut settings = more;
        settings["profile"] = "instamed".into();
        let path = if name == "as-shipped" {
            "/never"
        } else {
            &format!("/{name}")
        };
        settings["url"] = receiver.url(path).into();
        database.subscribe("clinic", name, settings).await;
    }
    let _worker = Worker::start(&database, "").await;
    let data = r#"{"TransactionID": "8A7D2C", "Amount": 125.00, "PatientName": "Zoë O'Hara & Co", "Status": "Approved"}"#;
    let event: uuid::Uuid = database
        .value(&format!(
            "SELECT posthorn.publish('clinic', 'payment.approved', '8A7D2C', 'Approved', '{}')",
            data.replace('\'', "''")
        ))
        .await;
    database
        .execute("SELECT posthorn.publish('clinic', 'payment_plan.created', 'P1', 'Created')")
        .await;
    let label = async |subscription: &str| {
        let seen: Option<String> = sqlx::query_scalar(
            "SELECT label FROM posthorn.delivery_status WHERE event_id = $1 AND subscription = $2",
        )
        .bind(event)
        .bind(subscription)
        .fetch_optional(&database.pool)
        .await
        .unwrap();
        seen
    };
    let reaches = async |subscription: &str, words: &str| {
        until(PATIENCE, words, async || {
            (label(subscription).await.as_deref() == Some(words)).then_some(())
        })
        .await;
    };
    reaches("late", "pending posting retry").await;
    reaches("late", "delivered").await;
    reaches("never", "posting error").await;

    let tried = attempts(&database, event, "late").await;
    let status = |reason: &str| ("status".to_owned(), reason.to_owned());
    let mut expected = vec![status("201 Created"); 4];
    expected.push(("ok".to_owned(), "200 OK".to_owned()));
    assert_eq!(tried, expected);
    assert_eq!(
        attempts(&database, event, "never").await,
        vec![status("201 Created"); 5]
    );
    let requests = arrived(&receiver, "/late");
    assert_eq!(requests.len(), 5);
    for request in requests {
        assert_eq!(
            header(&request, "content-type"),
            "application/x-www-form-urlencoded"
        );
        assert_eq!(
            request.body,
            "TransactionID=8A7D2C&Amount=125.00&PatientName=Zo%C3%AB+O%27Hara+%26+Co&Status=Approved"
        );
    }
    // As shipped, the next attempt is half an hour away.
    reaches("as-shipped", "pending posting retry").await;
    let wait: f64 = database
        .value(&format!(
            "SELECT extract(epoch FROM d.next_attempt_at - a.started_at)::float8
               FROM posthorn.delivery_status d JOIN posthorn.attempts a USING (event_id, subscription_id)
              WHERE event_id = '{event}' AND subscription = 'as-shipped'"
        ))
        .await;
    assert!((1800.0..1810.0).contains(&wait), "{wait}");
    assert_eq!(label("off").await, None);
    let deliveries: i64 = database
        .value("SELECT count(*) FROM posthorn.delivery_status WHERE kind = 'payment_plan.created'")
        .await;
    assert_eq!(deliveries, 0);
}
