//! OAuth2 client credentials, with a real token server beside the receiver.

use posthorn::receiver::Receiver;
use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, Setup, Worker, receiver, until};

const SECRET: &str = "oauth2-canary-71c9";

fn settings(receiver: &Receiver, token_url: &str, more: &Value) -> Value {
    let mut settings = json!({
        "url": receiver.url("/hook"),
        "auth": "oauth2",
        "auth_secret": "env:CLIENT",
        "oauth2_token_url": token_url,
    });
    let more = more.as_object().unwrap().clone();
    settings.as_object_mut().unwrap().extend(more);
    settings
}

fn token(value: &str, expires_in: u64) -> String {
    let body = format!(
        r#"{{"access_token":"{value}"\,"token_type":"bearer"\,"expires_in":{expires_in}}}"#
    );
    format!("200,body={body}")
}

/// The values of a header at a path, in the order of arrival.
fn values(receiver: &Receiver, path: &str, name: &str) -> Vec<String> {
    let requests = receiver.requests();
    let at_path = requests
        .iter()
        .filter(|request| request.path_and_query.starts_with(path));
    at_path
        .map(|request| {
            let value = request.headers.get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        })
        .collect()
}

async fn worker(database: &Database) -> Worker {
    Setup::new(database)
        .env("CLIENT", format!("posthorn:{SECRET}"))
        .env("RUST_LOG", "warn,posthorn=trace")
        .start()
        .await
}

#[tokio::test]
async fn many_deliveries_share_one_token() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let issuer = receiver.on("/token", token("t1", 3600).parse().unwrap());
    let settings = settings(
        &receiver,
        &receiver.url("/token?tenant=7"),
        &json!({"max_in_flight": 500, "oauth2_client_auth": "body", "oauth2_scope": "hooks"}),
    );
    database.subscribe("acme", "hook", settings).await;
    let mut worker = worker(&database).await;
    database
        .execute("SELECT posthorn.publish('acme', 'payment', 't' || n, 's') FROM generate_series(1, 500) n")
        .await;
    database.count_reaches("delivered", 500).await;
    assert_eq!(issuer.received(), 1);
    assert_eq!(
        values(&receiver, "/hook", "authorization"),
        vec!["Bearer t1"; 500]
    );
    let requests = receiver.requests();
    let asked = requests
        .iter()
        .find(|request| request.path_and_query == "/token?tenant=7")
        .unwrap();
    let form = format!(
        "grant_type=client_credentials&scope=hooks&client_id=posthorn&client_secret={SECRET}"
    );
    assert_eq!(asked.body, form);
    assert_eq!(asked.method, "POST");
    let metrics = worker.metrics().await;
    assert!(worker.sigterm().await.success());
    for text in [worker.log(), metrics] {
        assert!(!text.contains(SECRET) && !text.contains("Bearer"), "{text}");
    }
}

#[tokio::test]
async fn a_token_that_the_receiver_refuses_is_replaced() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let [first, second] = [token("t1", 3600), token("t2", 3600)];
    let issuer = format!("{first},times=1,then={second}");
    receiver.on("/token", issuer.parse().unwrap());
    receiver.on("/hook", "401,times=1,then=204".parse().unwrap());
    let retrying = json!({"retry": "fixed", "retry_interval": "50ms"});
    let settings = settings(&receiver, &receiver.url("/token"), &retrying);
    database.subscribe("acme", "hook", settings).await;
    let _worker = worker(&database).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    assert_eq!(database.reaches(event, "delivered").await.attempts, 2);
    assert_eq!(
        values(&receiver, "/hook", "authorization"),
        ["Bearer t1", "Bearer t2"]
    );
}

#[tokio::test]
async fn a_failing_token_server_is_an_outcome_and_spares_the_receiver() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let hook = receiver.on("/hook", "200".parse().unwrap());
    let denied = r#"401,body={"error":"invalid_client"\,"error_description":"SECRET"}"#;
    let denying = receiver.on("/denied", denied.replace("SECRET", SECRET).parse().unwrap());
    receiver.on("/slow", "hang".parse().unwrap());
    let place = receiver.address().to_string();
    let cases = [
        (
            "denied",
            receiver.url("/denied"),
            "token",
            format!(
                "no access token: token server {place}: 401 invalid_client; if the credentials \
                 are right, try oauth2_client_auth = \"body\""
            ),
        ),
        (
            "gone",
            format!("http://127.0.0.1:1/{SECRET}"),
            "connect",
            "connection failed: token server 127.0.0.1:1: no connection: connection refused"
                .to_owned(),
        ),
        (
            "forbidden",
            format!("https://10.0.0.1/{SECRET}"),
            "refused",
            "refused by the egress policy, tried again in case it changes: token server \
             10.0.0.1:443: the egress policy forbids 10.0.0.1 (private)"
                .to_owned(),
        ),
        (
            "slow",
            receiver.url("/slow"),
            "timeout",
            format!("timeout: token server {place}: no access token within 300ms"),
        ),
    ];
    for (name, token_url, ..) in &cases {
        let once = json!({"max_attempts": 1, "timeout": "300ms"});
        database
            .subscribe("acme", name, settings(&receiver, token_url, &once))
            .await;
    }
    let mut worker = worker(&database).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("posting_error", 4).await;
    for (name, _, outcome, reason) in &cases {
        let said: (String, String, Option<String>) = sqlx::query_as(
            "SELECT a.outcome::text, a.reason, a.body
               FROM posthorn.attempts a JOIN posthorn.subscriptions s ON s.id = a.subscription_id
              WHERE a.event_id = $1 AND s.name = $2",
        )
        .bind(event)
        .bind(name)
        .fetch_one(&database.pool)
        .await
        .unwrap();
        assert_eq!(
            said,
            ((*outcome).to_owned(), reason.clone(), None),
            "{name}"
        );
    }
    assert_eq!((hook.received(), denying.received()), (0, 1));
    let metrics = worker.metrics().await;
    assert!(
        metrics.contains("posthorn_attempts_total{outcome=\"token\"} 1\n"),
        "{metrics}"
    );
    assert!(worker.sigterm().await.success());
    assert!(!worker.log().contains(SECRET), "{}", worker.log());
}

#[tokio::test]
async fn a_token_is_had_anew_before_it_runs_out() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let [first, second] = [token("t1", 3), token("t2", 3600)];
    let issuer = format!("{first},times=1,then={second}");
    let issuer = receiver.on("/token", issuer.parse().unwrap());
    let settings = settings(&receiver, &receiver.url("/token"), &json!({}));
    database.subscribe("acme", "hook", settings).await;
    let _worker = worker(&database).await;
    // A steady flow, which never meets a token that has run out.
    until(PATIENCE, "a second token in use", async || {
        let event = database.publish("acme", "t", "approved", "{}").await;
        assert_eq!(database.reaches(event, "delivered").await.attempts, 1);
        let bearers = values(&receiver, "/hook", "authorization");
        (bearers.last()? == "Bearer t2").then_some(())
    })
    .await;
    assert_eq!(issuer.received(), 2);
}
