//! Two credentials valid at once while one takes the other's place.

use posthorn::receiver::Receiver;
use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, Setup, Worker, receiver, until};

fn authorizations(receiver: &Receiver, path: &str) -> Vec<String> {
    let requests = receiver.requests();
    let at_path = requests
        .iter()
        .filter(|request| request.path_and_query == path);
    at_path
        .map(|request| {
            request.headers["authorization"]
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

async fn rotating(database: &Database, receiver: &Receiver, more: &Value) -> Worker {
    let mut settings = json!({
        "url": receiver.url("/hook"),
        "auth": "api_key",
        "auth_secret": "env:NEW",
        "auth_secret_previous": "env:OLD",
        "retry": "fixed",
        "retry_interval": "1h",
    });
    let more = more.as_object().unwrap().clone();
    settings.as_object_mut().unwrap().extend(more);
    database.subscribe("acme", "hook", settings).await;
    Setup::new(database)
        .env("NEW", "new")
        .env("OLD", "old")
        .start()
        .await
}

#[tokio::test]
async fn a_refused_credential_is_followed_by_the_other_at_once() {
    let database = Database::new().await;
    let receiver = receiver().await;
    // It knows the old one only, and later the new one only.
    let steps = "401,times=1,then=204,times=3,then=403,times=1,then=204";
    receiver.on("/hook", steps.parse().unwrap());
    // Neither is final while there is another credential.
    let more = json!({"give_up_statuses": ["401"], "disable_statuses": ["403"]});
    let _worker = rotating(&database, &receiver, &more).await;
    let mut attempts = vec![];
    for number in 0..5 {
        let event = database
            .publish("acme", &format!("t{number}"), "approved", "{}")
            .await;
        // Its retry policy would make it wait for an hour.
        attempts.push(database.reaches(event, "delivered").await.attempts);
    }
    assert_eq!(attempts, [2, 1, 1, 2, 1]);
    assert_eq!(
        authorizations(&receiver, "/hook"),
        ["new", "old", "old", "old", "old", "new", "new"]
    );
}

#[tokio::test]
async fn what_both_credentials_fail_waits_as_its_policy_says() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hook", "401".parse().unwrap());
    let _worker = rotating(&database, &receiver, &json!({})).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    let waiting = until(PATIENCE, "a second attempt", async || {
        let delivery = database.deliveries(event).await.into_iter().next()?;
        (delivery.attempts == 2).then_some(delivery)
    })
    .await;
    assert_eq!(waiting.state, "pending_retry");
    let wait: f64 = database
        .value("SELECT extract(epoch FROM next_attempt_at - now())::float8 FROM posthorn.delivery_status")
        .await;
    assert!(wait > 3000.0, "{wait}");
    assert_eq!(authorizations(&receiver, "/hook"), ["new", "old"]);
    // A new credential is a change of the configuration, and begins with itself.
    receiver.on("/hook", "200".parse().unwrap());
    database
        .execute("UPDATE posthorn.subscriptions SET auth_secret = 'env:OLD', auth_secret_previous = NULL")
        .await;
    let event = database.publish("acme", "t2", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    assert_eq!(authorizations(&receiver, "/hook").last().unwrap(), "old");
}

#[tokio::test]
async fn a_client_secret_is_rotated_at_the_token_server() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let denied = r#"400,body={"error":"invalid_client"},times=1,then=200"#;
    let token = r#"body={"access_token":"t1"\,"token_type":"bearer"\,"expires_in":60}"#;
    receiver.on("/token", format!("{denied},{token}").parse().unwrap());
    let settings = json!({
        "url": receiver.url("/hook"),
        "auth": "oauth2",
        "auth_secret": "env:NEW",
        "auth_secret_previous": "env:OLD",
        "oauth2_token_url": receiver.url("/token"),
        "retry": "fixed",
        "retry_interval": "1h",
    });
    database.subscribe("acme", "hook", settings).await;
    let _worker = Setup::new(&database)
        .env("NEW", "id:new")
        .env("OLD", "id:old")
        .start()
        .await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    assert_eq!(database.reaches(event, "delivered").await.attempts, 2);
    // id:new and id:old in base64.
    assert_eq!(
        authorizations(&receiver, "/token"),
        ["Basic aWQ6bmV3", "Basic aWQ6b2xk"]
    );
    assert_eq!(authorizations(&receiver, "/hook"), ["Bearer t1"]);
}
