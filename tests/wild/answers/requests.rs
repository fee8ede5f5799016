//! The heads of requests, as receivers read them that take no other.

use serde_json::json;

use super::once;
use super::raw::Raw;
use crate::support::{Database, Setup, Worker, posthorn};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn names(request: &str) -> Vec<&str> {
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let lines = head.lines().skip(1);
    lines.map(|line| line.split_once(": ").unwrap().0).collect()
}

/// Seen with a receiver in COBOL that looked for `Content-Length` and found none.
#[tokio::test]
async fn names_of_headers_travel_as_they_are_written() {
    let database = Database::new().await;
    let receiver = Raw::saying(OK).await;
    let cases = [
        (
            "usual",
            json!({}),
            &[
                "Host",
                "User-Agent",
                "Accept-Encoding",
                "Webhook-Id",
                "Webhook-Timestamp",
                "Webhook-Attempt",
                "Content-Type",
                "Accept",
                "Content-Length",
            ][..],
        ),
        (
            "chosen",
            json!({
                "auth": "api_key", "auth_secret": "env:KEY", "id_header": "X-EventID",
                "timestamp_header": "x_TIME", "attempt_header": "none",
            }),
            &["X-EventID", "x_TIME", "X-API-Key"],
        ),
        (
            "hmac",
            json!({"signing": "sensepass_hmac", "signing_secrets": ["env:HMAC"]}),
            &["HMAC-Random-Key", "HMAC-Authorization"],
        ),
        (
            "standard",
            json!({"profile": "standard", "signing_secrets": ["env:WHSEC"]}),
            &["webhook-id", "webhook-timestamp", "webhook-signature"],
        ),
    ];
    for (name, settings, _) in &cases {
        let url = format!("{}/{name}", receiver.url());
        database
            .subscribe("acme", name, once_or_profile(&url, settings))
            .await;
    }
    let _worker = Setup::new(&database)
        .env("KEY", "X-API-Key:abc")
        .env("HMAC", "of-the-tests")
        .env("WHSEC", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .start()
        .await;
    database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 4).await;
    let requests = receiver.requests();
    for (name, _, expected) in &cases {
        let path = format!("/hook/{name} ");
        let request = requests.iter().find(|it| it.text.contains(&path)).unwrap();
        let names = names(&request.text);
        if *name == "usual" {
            assert_eq!(names, *expected);
        }
        for expected in *expected {
            assert!(names.contains(expected), "{name}: {expected} in {names:?}");
        }
    }
}

/// A profile brings its own retry.
fn once_or_profile(url: &str, settings: &serde_json::Value) -> serde_json::Value {
    if settings.get("profile").is_none() {
        return once(url, settings.clone());
    }
    let mut settings = settings.clone();
    settings["url"] = url.into();
    settings
}

#[tokio::test]
async fn what_render_shows_is_what_travels() {
    let database = Database::new().await;
    let receiver = Raw::saying(OK).await;
    let settings = once(
        &receiver.url(),
        json!({"timestamp_header": "none", "id_header": "X-EventID"}),
    );
    database.subscribe("acme", "orders", settings).await;
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    let id = event.to_string();
    let call = [
        "render",
        "acme/orders",
        "--event",
        &id,
        "--database-url",
        &database.url,
    ];
    let (status, said) = posthorn(&call).await;
    assert!(status.success(), "{said}");
    assert_eq!(said, receiver.requests()[0].text);
}

/// Seen with a CDN before a receiver: "RECEIVED" came as 28 bytes that were no text.
#[tokio::test]
async fn nobody_asks_for_compression_and_a_reason_names_it() {
    let database = Database::new().await;
    let zipped = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1f}abc";
    let receiver = Raw::saying(zipped).await;
    for (name, settings) in [
        ("asks", json!({"success_body": "RECEIVED"})),
        ("silent", json!({"accept_encoding": "none"})),
    ] {
        let url = format!("{}/{name}", receiver.url());
        database.subscribe("acme", name, once(&url, settings)).await;
    }
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("pending_retry", 1).await;
    database.count_reaches("delivered", 1).await;
    assert_eq!(
        database.attempts(event, "asks").await[0].reason,
        "200 OK, but the body is in the coding gzip, and nothing is decoded"
    );
    for request in receiver.requests() {
        let asks = request.text.contains("\r\nAccept-Encoding: identity\r\n");
        assert_eq!(asks, request.text.starts_with("POST /hook/asks "));
        assert_eq!(asks, request.text.contains("Accept-Encoding"));
    }
}
