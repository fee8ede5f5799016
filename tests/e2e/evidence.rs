//! What a dispute asks for: what was sent, to whom, under which settings, and that nobody
//! changed it since.

use std::fmt::Write;

use posthorn::demo::postgres::SUPERUSER;
use posthorn::model::seal::Digest;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Database, Setup, posthorn, receiver};

const SECRET: &str = "hunter2-canary";

fn sha256(bytes: &[u8]) -> String {
    Digest::of(digest(&SHA256, bytes).as_ref()).0
}

async fn story(database: &Database, event: Uuid, more: &[&str]) -> (String, Value) {
    let event = event.to_string();
    let call = ["evidence", &event, "--database-url", &database.url];
    let (status, said) = posthorn(&[&call[..], more].concat()).await;
    assert!(status.success(), "{said}");
    let value = serde_json::from_str(&said).unwrap();
    (said, value)
}

#[tokio::test]
async fn the_whole_story_of_an_event_is_told() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hook", "503,times=1,then=200,body=Doe".parse().unwrap());
    let url = receiver.url("/hook?shop=7");
    let settings = json!({
        "url": url, "retry": "fixed", "retry_interval": "100ms",
        "auth": "basic", "auth_secret": "env:SECRET",
    });
    let id = database.subscribe("acme", "orders", settings).await;
    let _worker = Setup::new(&database)
        .env("SECRET", format!("user:{SECRET}"))
        .start()
        .await;
    let event = database
        .publish("acme", "t1", "approved", r#"{"patient": "Doe"}"#)
        .await;
    database.reaches(event, "delivered").await;
    // What holds later is no part of it.
    database
        .execute("UPDATE posthorn.subscriptions SET url = 'https://elsewhere.example/'")
        .await;

    let (text, story_told) = story(&database, event, &[]).await;
    assert!(!text.contains("Doe") && !text.contains(SECRET), "{text}");
    assert_eq!(story_told["event"]["merchant"], "acme");
    assert_eq!(
        story_told["event"]["payload_digest"],
        sha256(br#"{"patient": "Doe"}"#)
    );
    assert_eq!(story_told["wanted_by"][0]["subscription"], "orders");
    assert_eq!(story_told["wanted_by"][0]["wanted"], "yes");
    let delivery = &story_told["deliveries"][0];
    assert_eq!(delivery["delivery"]["state"], "delivered");
    assert_eq!(delivery["delivery"]["seal"], Value::Null);
    let attempts = delivery["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    for (attempt, request) in attempts.iter().zip(receiver.requests()) {
        assert_eq!(attempt["payload_digest"], sha256(&request.body));
        // By docs/AUDIT.md, from what the receiver recorded.
        let mut head = format!("POST {url}\n");
        let mut names: Vec<_> = request
            .headers
            .keys()
            .map(http::HeaderName::as_str)
            .collect();
        names.sort_unstable();
        for name in names {
            if !["host", "content-length", "authorization"].contains(&name) {
                let value = request.headers[name].to_str().unwrap();
                writeln!(head, "{name}: {value}").unwrap();
            }
        }
        assert_eq!(attempt["head_digest"], sha256(head.as_bytes()), "{head}");
        assert_eq!(attempt["peer"], "127.0.0.1");
        assert_eq!(attempt["tls"], Value::Null);
        assert_eq!(attempt["answer"], Value::Null);
    }
    assert_eq!(attempts[1]["answer_digest"], sha256(b"Doe"));
    let held = &story_told["configurations"][0];
    assert_eq!(held["revision"], attempts[0]["revision"]);
    assert_eq!(held["subscription_id"], id.to_string());
    assert_eq!(held["layers"][0]["settings"]["url"], url);
    assert_eq!(held["layers"][0]["settings"]["auth_secret"], "env:SECRET");

    let (_, whole) = story(&database, event, &["--payload", "--merchant", "acme"]).await;
    assert_eq!(whole["event"]["payload"], r#"{"patient": "Doe"}"#);
    assert_eq!(whole["deliveries"][0]["attempts"][1]["answer"], "Doe");
}

#[tokio::test]
async fn an_attempt_without_a_connection_has_no_digests_and_says_why() {
    let database = Database::new().await;
    let settings = json!({"url": "http://127.0.0.1:1/", "retry": "fixed", "retry_interval": "1h"});
    database.subscribe("acme", "orders", settings).await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "pending_retry").await;
    let (_, story) = story(&database, event, &[]).await;
    let attempt = &story["deliveries"][0]["attempts"][0];
    assert_eq!(attempt["outcome"], "connect");
    for key in ["peer", "head_digest", "payload_digest"] {
        assert_eq!(attempt[key], Value::Null);
    }
}

#[tokio::test]
async fn an_event_that_is_not_there_or_not_theirs_is_refused() {
    let database = Database::new().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    for (id, more, expected) in [
        (event, &["--merchant", "other"][..], "of another merchant"),
        (Uuid::nil(), &[], "there is no event 00000000"),
    ] {
        let id = id.to_string();
        let call = ["evidence", &id, "--database-url", &database.url];
        let (status, said) = posthorn(&[&call[..], more].concat()).await;
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn the_records_are_append_only_for_everyone() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hook", "200,body=echo".parse().unwrap());
    let url = json!({"url": receiver.url("/hook")});
    database.subscribe("acme", "orders", url).await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    let today: String = database
        .value("SELECT to_char(current_date, 'YYYYMMDD')")
        .await;
    let superuser = Database::connect(&database.name, database.url_of(SUPERUSER));
    for sql in [
        "UPDATE posthorn.deliveries SET attempts = 2",
        "DELETE FROM posthorn.deliveries",
        "TRUNCATE posthorn.deliveries",
        &format!("UPDATE posthorn.deliveries_{today} SET reason = 'x'"),
        &format!("DELETE FROM posthorn.attempts_{today}"),
        &format!("TRUNCATE posthorn.attempts_{today}"),
        "TRUNCATE posthorn.attempts_default",
        "UPDATE posthorn.attempts SET http_status = 201",
        "DELETE FROM posthorn.attempts",
        // The payload of its event is still there.
        "UPDATE posthorn.attempts SET body = NULL",
        "UPDATE posthorn.attempts SET reason = NULL",
        "UPDATE posthorn.deliveries SET reason = NULL",
        "UPDATE posthorn.config_history SET settings = NULL",
        "DELETE FROM posthorn.config_history",
    ] {
        for whoever in [&database, &superuser] {
            let refused = whoever.try_execute(sql).await;
            let said = refused.err().map(|error| error.to_string());
            assert!(
                said.as_ref()
                    .is_some_and(|said| said.contains("append-only")),
                "{sql}: {said:?}"
            );
        }
    }
    // Purged by hand it may be, and nothing else of it changes.
    database
        .execute("UPDATE posthorn.events SET data = NULL, purged_at = now()")
        .await;
    for sql in [
        "UPDATE posthorn.attempts SET body = NULL, http_status = 201",
        "UPDATE posthorn.attempts SET body = 'other'",
        "UPDATE posthorn.attempts SET body = NULL, reason = 'other'",
        "UPDATE posthorn.attempts SET reason = NULL, reason_digest = sha256('')",
        "UPDATE posthorn.deliveries SET attempts = 2, reason = NULL",
    ] {
        assert!(database.try_execute(sql).await.is_err(), "{sql}");
    }
    database
        .execute("UPDATE posthorn.attempts SET body = NULL")
        .await;
    database
        .execute("UPDATE posthorn.attempts SET reason = NULL")
        .await;
    for (digest, text) in [("answer_digest", "echo"), ("reason_digest", "200 OK")] {
        let query = format!("SELECT encode({digest}, 'hex') FROM posthorn.attempts");
        let digest: String = database.value(&query).await;
        assert_eq!(digest, sha256(text.as_bytes()));
    }
}
