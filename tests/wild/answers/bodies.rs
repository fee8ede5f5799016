//! Answers whose bodies break off.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::once;
use super::raw::Raw;
use crate::support::{Database, Worker};

const SHORT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok";
const CUT: &str = "the connection was closed before the answer was complete";

/// Writes a head and a byte of the body now and then, and never ends.
async fn trickling() -> Raw {
    Raw::serving(|mut caller| async move {
        caller.request().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
        let _ = caller.stream.write_all(head.as_bytes()).await;
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        while caller.stream.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
    })
    .await
}

async fn resetting(answer: &'static str) -> Raw {
    Raw::serving(move |mut caller| async move {
        caller.request().await;
        let _ = caller.stream.write_all(answer.as_bytes()).await;
        // So that the answer is read before the reset takes it away.
        tokio::time::sleep(Duration::from_millis(200)).await;
        caller.reset();
    })
    .await
}

/// Seen with a callback page of PHP behind a proxy that cut its answers: retried for days.
#[tokio::test]
async fn a_success_whose_body_breaks_off_is_not_sent_again() {
    let database = Database::new().await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases = [
        ("short", Raw::saying_and_closing(SHORT).await, CUT),
        (
            "chunks",
            Raw::saying_and_closing(format!("{chunked}2\r\nok\r\n")).await,
            CUT,
        ),
        (
            "no chunk at all",
            Raw::saying_and_closing(chunked).await,
            CUT,
        ),
        (
            "odd chunk",
            Raw::saying_and_closing(format!("{chunked}two\r\nok\r\n")).await,
            "the answer's chunks are malformed",
        ),
        (
            "reset",
            resetting(SHORT).await,
            "the connection broke: connection reset",
        ),
        (
            "trickle",
            trickling().await,
            "the answer was not complete within 2s",
        ),
    ];
    for (name, receiver, _) in &cases {
        let settings = once(&receiver.url(), json!({"timeout": "2s"}));
        database.subscribe("acme", name, settings).await;
    }
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 6).await;
    for (name, receiver, why) in &cases {
        let attempts = database.attempts(event, name).await;
        assert_eq!(attempts.len(), 1, "{name}");
        assert_eq!(attempts[0].outcome, "ok", "{name}");
        assert_eq!(attempts[0].http_status, Some(200), "{name}");
        assert_eq!(
            attempts[0].reason,
            format!("200 OK (its body is incomplete: {why})"),
            "{name}"
        );
        assert_eq!(receiver.requests().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_is_asked_for_has_to_be_whole() {
    let database = Database::new().await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nRECEIVED\r\n";
    let cases = [
        (
            "short",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nRECEIVED".to_owned(),
            false,
        ),
        ("chunks", chunked.to_owned(), false),
        // Its content is complete with the chunk of length zero (RFC 9112, section 8).
        ("without the last line", format!("{chunked}0\r\n"), true),
        // Without a length the end of the connection is the end.
        (
            "until closed",
            "HTTP/1.0 200 OK\r\n\r\nRECEIVED".to_owned(),
            true,
        ),
    ];
    for (name, answer, _) in &cases {
        let receiver = Raw::saying_and_closing(answer.clone()).await;
        let settings = once(&receiver.url(), json!({"success_body": "RECEIVED"}));
        database.subscribe("acme", name, settings).await;
    }
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 2).await;
    database.count_reaches("pending_retry", 2).await;
    for (name, _, whole) in &cases {
        let attempts = database.attempts(event, name).await;
        if *whole {
            assert_eq!(attempts[0].reason, "200 OK", "{name}");
        } else {
            assert_eq!(attempts[0].outcome, "body_rule", "{name}");
            assert_eq!(
                attempts[0].reason,
                format!("200 OK, but the body is incomplete: {CUT}"),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_status_says_holds_when_its_body_breaks_off() {
    let database = Database::new().await;
    let answer = |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 10\r\n\r\nno");
    let gives_up = Raw::saying_and_closing(answer("404 Not Found")).await;
    let settings = once(&gives_up.url(), json!({"give_up_statuses": ["404"]}));
    database.subscribe("gives up", "orders", settings).await;
    let gone = Raw::saying_and_closing(answer("410 Gone")).await;
    let settings = once(&gone.url(), json!({"disable_statuses": ["410"]}));
    database.subscribe("gone", "orders", settings).await;
    let busy = answer("503 Busy\r\nRetry-After: 7200");
    let busy = Raw::saying_and_closing(busy).await;
    let settings = json!({"retry_interval": "1s", "retry_cap": "1d"});
    database
        .subscribe("busy", "orders", once(&busy.url(), settings))
        .await;
    let _worker = Worker::start(&database, "").await;

    let event = database.publish("gives up", "t1", "approved", "{}").await;
    let ended = database.reaches(event, "posting_error").await;
    assert_eq!(ended.attempts, 1);
    let event = database.publish("gone", "t1", "approved", "{}").await;
    let ended = database.reaches(event, "posting_error").await;
    assert!(ended.reason.unwrap().contains("disables the subscription"));
    let event = database.publish("busy", "t1", "approved", "{}").await;
    let waits = database.reaches(event, "pending_retry").await;
    assert!(waits.next_attempt_at.unwrap() > Utc::now() + TimeDelta::hours(1));
}
