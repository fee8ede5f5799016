//! Heads of answers that are not by the book.

use serde_json::json;

use super::once;
use super::raw::Raw;
use crate::support::{Database, Worker};

/// Seen with appliances and with hand-written servers: what curl shows as 200 was "not
/// HTTP/1.1" here, and retried.
#[tokio::test]
async fn what_curl_takes_is_taken_and_its_connection_closed() {
    let many = "X-Trace: a\r\n".repeat(300);
    let cases = [
        ("a space", "X Bad: 1\r\n"),
        ("a space before the colon", "X-Bad : 1\r\n"),
        ("a fold", "X-Long: one\r\n two\r\n\tthree\r\n"),
        ("a bell", "X-Bell: \u{7}\r\n"),
        ("Latin-1", "X-N\u{e4}me: 1\r\n"),
        ("many headers", &many),
    ];
    let database = Database::new().await;
    let mut receivers = Vec::new();
    for (name, headers) in cases {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 8\r\n\r\nRECEIVED");
        let receiver = Raw::saying(answer).await;
        let settings = once(&receiver.url(), json!({"success_body": "RECEIVED"}));
        database.subscribe("acme", name, settings).await;
        receivers.push((name, receiver));
    }
    let _worker = Worker::start(&database, "").await;
    for number in 1..=2 {
        database.publish("acme", "t1", "approved", "{}").await;
        database
            .count_reaches("delivered", number * i64::try_from(cases.len()).unwrap())
            .await;
    }
    for (name, receiver) in receivers {
        let connections = receiver.connections();
        // Nothing is odd about a header more.
        if name != "many headers" {
            assert_eq!(connections, [0, 1], "{name}");
        }
    }
}

/// An end of the body that is read in two ways lets a receiver put words into another answer.
#[tokio::test]
async fn an_end_of_the_body_that_is_malformed_is_never_overlooked() {
    const LENGTH: &str = "broken exchange: ADDRESS: the answer's Content-Length is malformed";
    const CODING: &str = "broken exchange: ADDRESS: the answer's Transfer-Encoding is malformed";
    let cases = [
        (
            "two lengths",
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            LENGTH,
        ),
        ("a list of two", "Content-Length: 2, 3\r\n", LENGTH),
        ("no number", "Content-Length: two\r\n", LENGTH),
        ("a sign", "Content-Length: +2\r\n", LENGTH),
        ("a control character", "Content-Length: \u{7}2\r\n", LENGTH),
        ("within an odd name", "Content Length: 2\r\n", LENGTH),
        ("an unknown coding", "Transfer-Encoding: chunky\r\n", CODING),
        (
            "two codings",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
            CODING,
        ),
        (
            "an odd coding beside a length",
            "Content-Length: 2\r\nTransfer-Encoding: \u{b}chunked\r\n",
            CODING,
        ),
    ];
    let database = Database::new().await;
    let mut addresses = Vec::new();
    for (name, headers, _) in cases {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}\r\nok");
        let receiver = Raw::saying_and_closing(answer).await;
        database
            .subscribe("acme", name, once(&receiver.url(), json!({})))
            .await;
        addresses.push(receiver.address.to_string());
    }
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    let count = i64::try_from(cases.len()).unwrap();
    database.count_reaches("pending_retry", count).await;
    for ((name, _, reason), address) in cases.iter().zip(addresses) {
        let attempts = database.attempts(event, name).await;
        assert_eq!(attempts[0].outcome, "protocol", "{name}");
        assert_eq!(
            attempts[0].reason,
            reason.replace("ADDRESS", &address),
            "{name}"
        );
    }
}

/// Seen with a Brazilian receiver: its "Requisição aceita" was recorded as "OK".
#[tokio::test]
async fn a_reason_phrase_is_kept_as_it_was_sent_and_never_made_up() {
    let cases: [(&str, &[u8], &str); 5] = [
        (
            "UTF-8",
            "200 Requisição aceita".as_bytes(),
            "200 Requisição aceita",
        ),
        (
            "Latin-1",
            b"200 Requisi\xe7\xe3o aceita",
            "200 Requisição aceita",
        ),
        ("its own", b"200 Passt schon", "200 Passt schon"),
        ("empty", b"200 ", "200"),
        ("none", b"200", "200"),
    ];
    let database = Database::new().await;
    for (name, line, _) in cases {
        let answer = [b"HTTP/1.1 ", line, b"\r\nContent-Length: 0\r\n\r\n"].concat();
        let receiver = Raw::saying(answer).await;
        database
            .subscribe("acme", name, once(&receiver.url(), json!({})))
            .await;
    }
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 5).await;
    for (name, _, reason) in cases {
        assert_eq!(
            database.attempts(event, name).await[0].reason,
            reason,
            "{name}"
        );
    }
}
