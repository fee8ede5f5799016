//! No secret and no payload in a log or a metric, however things go.

use std::path::Path;

use posthorn::receiver::Receiver;
use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, Setup, receiver, until};

const SECRET: &str = "canary-secret-5f1c";
const PAYLOAD: &str = "canary-payload-91ab";

/// Name, settings, and how it ends: well, badly at each step, and not at all.
fn cases(receiver: &Receiver, file: &Path) -> Vec<(&'static str, Value, &'static str)> {
    let of_file = format!("file:{}", file.display());
    vec![
        (
            "basic",
            json!({"url": receiver.url("/flaky"), "auth": "basic", "auth_secret": "env:BASIC"}),
            "delivered",
        ),
        (
            "key",
            json!({"url": receiver.url(&format!("/ok?token={SECRET}")), "auth": "api_key", "auth_secret": "env:KEY"}),
            "delivered",
        ),
        (
            "get",
            json!({"url": receiver.url(&format!("/{SECRET}")), "method": "GET"}),
            "delivered",
        ),
        (
            "gone",
            json!({"url": format!("http://127.0.0.1:1/{SECRET}?{SECRET}")}),
            "posting_error",
        ),
        (
            "tls",
            json!({"url": format!("https://{}/{SECRET}", receiver.address())}),
            "posting_error",
        ),
        (
            "forbidden",
            json!({"url": format!("http://10.0.0.1/{SECRET}")}),
            "posting_error",
        ),
        (
            "unsendable",
            json!({"url": receiver.url("/"), "fields": [{"name": "a", "source": "/missing"}]}),
            "posting_error",
        ),
        (
            "pem",
            json!({"url": "https://127.0.0.1:1/", "client_cert": of_file, "client_key": of_file}),
            "pending",
        ),
        (
            "bad",
            json!({"url": receiver.url("/"), "auth": "basic", "auth_secret": of_file}),
            "pending",
        ),
    ]
}

fn retrying(settings: &Value) -> Value {
    let mut settings = settings.clone();
    settings["retry"] = "list".into();
    settings["retry_delays"] = json!(["50ms", "50ms"]);
    settings
}

#[tokio::test]
async fn logs_and_metrics_show_no_secret_and_no_payload() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let behaviour =
        format!("drop,times=1,then=503,body={PAYLOAD},reason={PAYLOAD},times=1,then=200");
    receiver.on("/flaky", behaviour.parse().unwrap());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    let cases = cases(&receiver, file.path());
    for (name, settings, _) in &cases {
        database.subscribe("acme", name, retrying(settings)).await;
    }
    let url = database
        .url
        .replacen("posthorn@", &format!("posthorn:{SECRET}@"), 1);
    let mut worker = Setup::with_url(&url)
        .env("RUST_LOG", "trace")
        .env("BASIC", format!("user:{SECRET}"))
        .env("KEY", format!("X-Key:{SECRET}"))
        .start()
        .await;
    let data = json!({"card": PAYLOAD}).to_string();
    let event = database.publish("acme", PAYLOAD, "approved", &data).await;
    for (name, _, state) in &cases {
        until(PATIENCE, &format!("{name} {state}"), async || {
            let found = database.deliveries(event).await;
            found
                .iter()
                .any(|d| d.subscription == *name && d.state == *state)
                .then_some(())
        })
        .await;
    }
    let metrics = worker.metrics().await;
    assert!(worker.sigterm().await.success());
    let log = worker.log();
    // The libraries told all that they have to tell.
    assert!(log.contains("DEBUG sqlx::"), "{log}");
    for text in [&metrics, &log] {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains(PAYLOAD), "{text}");
        // As it stands in the Authorization header.
        assert!(!text.contains("dXNlcjpjYW5hcnk"), "{text}");
    }
    // Nor where support reads why: what an endpoint answered is evidence, ours is not.
    let reasons: String = database
        .value("SELECT string_agg(reason, E'\\n') FROM posthorn.delivery_status WHERE subscription <> 'basic'")
        .await;
    assert!(
        !reasons.contains(SECRET) && !reasons.contains(PAYLOAD),
        "{reasons}"
    );
}

#[tokio::test]
async fn a_card_number_in_an_answer_is_masked_before_it_is_stored() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let answer = "402,reason=No 4111 1111 1111 1111,body={\"pan\":\"5555-5555-5555-4444\"}";
    receiver.on("/", answer.parse().unwrap());
    let once = json!({"url": receiver.url("/"), "max_attempts": 1});
    database.subscribe("acme", "orders", once).await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "posting_error").await;
    let stored: String = database
        .value(
            "SELECT concat_ws(' | ', a.reason, a.body, d.reason)
               FROM posthorn.attempts a JOIN posthorn.deliveries d USING (event_id)",
        )
        .await;
    assert!(
        stored.starts_with("402 No **** **** **** 1111 | {\"pan\":\"****-****-****-4444\"} | "),
        "{stored}"
    );
    assert!(
        !stored.contains("4111") && !stored.contains("5555"),
        "{stored}"
    );
}
