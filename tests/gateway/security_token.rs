//! The security token (WIRE.md 5.7): a receiver exchanges it for the authentic values.

use serde_json::{Value, json};

use crate::client::{ask, http};
use crate::support::{Database, Setup, Worker, receiver};

async fn look_up(running: &Worker, transaction: &str, token: &str) -> (u16, String) {
    let request = http()
        .post(format!("{}/v1/security-token", running.gateway()))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("TransID={transaction}&ps_securitytoken={token}"));
    ask(request).await
}

#[tokio::test]
async fn a_notifications_token_gives_what_stands_behind_it() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/flaky", "503,times=1,then=200".parse().unwrap());
    // One process for both, as a small set-up has it.
    let running = Setup::new(&database).switch("--gateway").start().await;
    let settings = json!({
        "profile": "alphatrust", "scope": "merchant", "url": receiver.url("/flaky"),
        "retry": "fixed", "retry_interval": "200ms", "success_statuses": ["200-299"],
    });
    database.subscribe("acme", "listener", settings).await;
    let event = database
        .publish("acme", "1234567890", "Complete", r#"{"amount": 1234.50}"#)
        .await;
    database
        .publish("acme", "9999999999", "Complete", "{}")
        .await;
    database.reaches(event, "delivered").await;
    let sent = receiver.requests().into_iter().map(|request| {
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        let field = |name: &str| {
            let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(found, _)| *found == name)
                .unwrap()
                .1
                .to_owned()
        };
        (field("TransID"), field("ps_securitytoken"))
    });
    let (transaction, token) = sent
        .into_iter()
        .find(|(transaction, _)| transaction == "1234567890")
        .unwrap();
    let (status, body) = look_up(&running, &transaction, &token).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"data\":{\"amount\": 1234.50}"), "{body}");
    let authentic: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(authentic["TransID"], "1234567890");
    assert_eq!(authentic["status"], "Complete");
    assert_eq!(authentic["event"], event.to_string());

    // As JSON too, and in capitals: it is a GUID.
    let request = http()
        .post(format!("{}/v1/security-token", running.gateway()))
        .header("Content-Type", "application/json")
        .body(
            json!({"TransID": transaction, "ps_securitytoken": token.to_uppercase()}).to_string(),
        );
    assert_eq!(ask(request).await.0, 200);

    // The transaction has moved on since.
    database.publish("acme", &transaction, "Voided", "{}").await;
    let (_, body) = look_up(&running, &transaction, &token).await;
    let authentic: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(authentic["status"], "Complete");
    assert_eq!(authentic["current_status"], "Voided");

    let mut answers = Vec::new();
    for (transaction, token) in [
        ("9999999999", token.as_str()),
        ("0000000000", token.as_str()),
        (transaction.as_str(), "4bf44fb0-f695-40b5-821d-c22273e11c30"),
        (transaction.as_str(), "no GUID"),
    ] {
        answers.push(look_up(&running, transaction, token).await);
    }
    assert!(
        answers
            .iter()
            .all(|answer| answer.0 == 404 && *answer == answers[0])
    );
}

#[tokio::test]
async fn a_token_is_good_for_a_while_only() {
    let database = Database::new().await;
    let running = Setup::gateway(&database)
        .toml("[gateway]\nsecurity_token_lifetime = '1m'")
        .start()
        .await;
    let subscription = database
        .subscribe(
            "acme",
            "listener",
            json!({"profile": "alphatrust", "url": "https://merchant.example/"}),
        )
        .await;
    let event = database
        .publish("acme", "1234567890", "Complete", "{}")
        .await;
    let key: Vec<u8> = database.value("SELECT key FROM posthorn.token_key").await;
    let token = posthorn::model::TokenKey::new(&key).token(event, subscription);
    // A receiver asks while the notification is still in the air: no row tells of it.
    let asks = async || look_up(&running, "1234567890", &token.to_string()).await.0;
    assert_eq!(asks().await, 200);
    database
        .execute("UPDATE posthorn.events SET created_at = created_at - interval '2 minutes'")
        .await;
    assert_eq!(asks().await, 404);
    // A retry that is under way counts anew, and so does one that has just ended.
    database
        .execute(&format!(
            "INSERT INTO posthorn.pending_deliveries (event_id, subscription_id, state, attempts, due_at, shard, transaction_id, reason)
             VALUES ('{event}', '{subscription}', 'pending_retry', 1, now() + interval '1 hour', 0, '1234567890', 'x')"
        ))
        .await;
    assert_eq!(asks().await, 404, "the retry is to come");
    database
        .execute("UPDATE posthorn.pending_deliveries SET due_at = now()")
        .await;
    assert_eq!(asks().await, 200);
    database
        .execute(&format!(
            "DELETE FROM posthorn.pending_deliveries;
             INSERT INTO posthorn.attempts (event_id, subscription_id, started_at, number, duration_us, outcome, http_status, reason)
             VALUES ('{event}', '{subscription}', now(), 2, 1000, 'ok', 200, 'OK')"
        ))
        .await;
    assert_eq!(asks().await, 200);
}
