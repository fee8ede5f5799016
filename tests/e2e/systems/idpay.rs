//! IDPay's webhook (WIRE.md 4).

use serde_json::json;

use super::{arrived, attempts, header};
use crate::support::{Database, Setup, receiver};

#[tokio::test]
async fn anything_but_2xx_is_tried_again_as_the_same_message() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hook", "503,times=1,then=204".parse().unwrap());
    let settings = json!({
        "profile": "idpay", "url": receiver.url("/hook"), "auth": "basic", "auth_secret": "env:SECRET",
        "statuses": ["approved", "expired", "new-*"], "retry_interval": "100ms",
        "max_attempts": 5, "max_in_flight": 500, "timeout": "5s",
    });
    database.subscribe("shop", "webhook", settings).await;
    let _worker = Setup::new(&database)
        .env("SECRET", "user:pass")
        .start()
        .await;
    let transaction = "8263a268-5388-492a-bca2-28e1ff4a69f0";
    let event = database
        .publish("shop", transaction, "approved", "{}")
        .await;
    let delivery = database.reaches(event, "delivered").await;
    assert_eq!(delivery.attempts, 2);
    let of = |outcome: &str, reason: &str| (outcome.to_owned(), reason.to_owned());
    assert_eq!(
        attempts(&database, event, "webhook").await,
        [
            of("status", "503 Service Unavailable"),
            of("ok", "204 No Content")
        ]
    );
    let golden = format!(r#"{{"id":"{transaction}","status":"approved"}}"#);
    assert_eq!(golden.len(), 65);
    let requests = arrived(&receiver, "/hook");
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!(request.method, "POST");
        assert_eq!(request.body, golden);
        assert_eq!(header(request, "content-type"), "application/json");
        assert_eq!(header(request, "authorization"), "Basic dXNlcjpwYXNz");
        assert_eq!(
            header(request, "webhook-id"),
            event.to_string(),
            "repeats can be told"
        );
    }
    // One that was not subscribed to, and one that came into being later (WIRE.md 4.2).
    database
        .publish("shop", transaction, "processing", "{}")
        .await;
    let new = database
        .publish("shop", transaction, "new-status", "{}")
        .await;
    database.reaches(new, "delivered").await;
    let requests = arrived(&receiver, "/hook");
    assert_eq!(requests.len(), 3);
    assert_eq!(
        requests[2].body,
        format!(r#"{{"id":"{transaction}","status":"new-status"}}"#)
    );
}
