//! Addresses that a transaction brings, in whatever letters the provider's code spells the keys.

use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, Worker, receiver};

async fn publish(
    database: &Database,
    transaction: &str,
    brought: &Value,
) -> Result<(), sqlx::Error> {
    let brought = brought.to_string().replace('\'', "''");
    database
        .try_execute(&format!(
            "SELECT posthorn.publish('acme', 'payment', '{transaction}', 'approved', '{{}}', '{brought}'::json)"
        ))
        .await
}

#[tokio::test]
async fn an_action_is_read_whole_or_refused() {
    let database = Database::new().await;
    let receiver = receiver().await;
    database
        .subscribe("acme", "template", json!({"scope": "transaction", "encoding": "nvp", "fields": [{"name": "id", "source": "transaction_id"}]}))
        .await;
    let _worker = Worker::start(&database, "").await;
    let url = receiver.url("/hook");
    let by_get = "SubscribeToStatusChangeNotificationsByGet";
    for (number, brought) in [
        json!({"type": by_get, "url": url}),
        json!({"TYPE": by_get.to_lowercase(), "URL": url, "DATA": null}),
        json!({"callbackurl": url, "CallbackMethod": "get"}),
        json!({"Url": url, "Method": "GET"}),
    ]
    .iter()
    .enumerate()
    {
        publish(&database, &format!("T-{number}"), brought)
            .await
            .unwrap();
    }
    receiver.wait_for(4, PATIENCE).await.unwrap();
    for request in receiver.requests() {
        assert_eq!(request.method, "GET", "{request:?}");
    }
    let bodies: Vec<String> = sqlx::query_scalar(
        "SELECT coalesce(success_body, '-') FROM posthorn.transaction_subscriptions",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(bodies, ["-"; 4]);

    for (brought, words) in [
        (
            json!({"Type": by_get, "Url": url, "Dta": "required-response-text=OK"}),
            "keys that are not known: 'Dta'",
        ),
        (
            json!({"url": url, "verb": "GET"}),
            "keys that are not known: 'verb'",
        ),
        (
            json!({"url": url, "Url": url}),
            "says the same thing twice: 'Url', 'url'",
        ),
        (
            json!({"url": url, "method": "GET", "Type": by_get}),
            "says the same thing twice: 'Type', 'method'",
        ),
        (
            json!([{"url": url}, {"url": url, "": 1}]),
            "keys that are not known: ''",
        ),
    ] {
        let error = publish(&database, "T-9", &brought)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("127.0.0.1"), "{error}");
    }
    let kept: i64 = database
        .value("SELECT count(*) FROM posthorn.events WHERE transaction_id = 'T-9'")
        .await;
    assert_eq!(kept, 0);

    let read = "SELECT success_body FROM posthorn.read_endpoint('{\"data\": \"Timeout=5; Required-Response-Text = OK \"}')";
    assert_eq!(database.value::<String>(read).await, "OK");
}
