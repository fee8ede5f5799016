//! Connections that are kept for the next request, and that the receiver has closed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use uuid::Uuid;

use super::once;
use super::raw::{Caller, Raw, Request};
use crate::support::{Database, PATIENCE, Worker, until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const TWICE: &str =
    " (sent twice: the kept connection was closed before an answer, and a new one was opened)";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Reset,
    Close,
    /// Begins to answer, and closes.
    Stammer,
    /// Says nothing more.
    Hang,
}

/// Takes one request on each connection; what it does with a second one is said.
async fn one_each(then: Then) -> Raw {
    Raw::serving(move |mut caller: Caller| async move {
        caller.request().await;
        let _ = caller.stream.write_all(OK).await;
        if caller.request().await.is_none() {
            return;
        }
        match then {
            Then::Reset => caller.reset(),
            Then::Close => {}
            Then::Stammer => {
                let _ = caller.stream.write_all(b"HTTP/1.1 ").await;
            }
            Then::Hang => {
                caller.request().await;
            }
        }
    })
    .await
}

/// Publishes one event after the other until one of them met a connection that was in use
/// before: the requests of that event, and its id. Where the machine is so slow that a
/// connection lies idle for too long, the next event has another chance.
async fn meet_a_kept_one(database: &Database, receiver: &Raw) -> (Uuid, Vec<Request>) {
    until(PATIENCE, "a request on a kept connection", async || {
        let event = database.publish("acme", "t1", "approved", "{}").await;
        until(PATIENCE, "an end of the attempt", async || {
            let found = database.deliveries(event).await;
            found.into_iter().find(|it| it.attempts > 0)
        })
        .await;
        let mut requests = receiver.requests();
        requests.retain(|request| request.text.contains(&event.to_string()));
        let first = requests[0].connection;
        let before = receiver.requests();
        let on_it = before.iter().filter(|it| it.connection == first).count();
        (on_it == 2).then_some((event, requests))
    })
    .await
}

/// Seen with a receiver of InstaMed's webhook: every event after a quiet time was half an
/// hour late.
#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_no_attempt() {
    for then in [Then::Reset, Then::Close] {
        let database = Database::new().await;
        let receiver = one_each(then).await;
        let settings = json!({"profile": "instamed", "kinds": ["*"], "url": receiver.url()});
        database.subscribe("acme", "orders", settings).await;
        let worker = Worker::start(&database, "").await;
        let (event, requests) = meet_a_kept_one(&database, &receiver).await;
        let delivery = database.reaches(event, "delivered").await;
        assert_eq!(delivery.attempts, 1, "{then:?}");
        assert_eq!(requests.len(), 2, "{then:?}: once more, and no more often");
        assert_eq!(requests[0].text, requests[1].text, "{then:?}");
        assert_ne!(requests[0].connection, requests[1].connection, "{then:?}");
        let reason: String = database
            .value(&format!(
                "SELECT reason FROM posthorn.attempts WHERE event_id = '{event}'"
            ))
            .await;
        assert_eq!(reason, format!("200 OK{TWICE}"), "{then:?}");
        assert_eq!(
            worker.metric("posthorn_requests_sent_again_total").await,
            1.0,
            "{then:?}"
        );
    }
}

#[tokio::test]
async fn what_may_have_been_answered_is_not_sent_again() {
    for (then, more, reason) in [
        (
            Then::Stammer,
            json!({}),
            "the connection was closed before the answer was complete",
        ),
        (Then::Hang, json!({"timeout": "1s"}), "no answer within 1s"),
        // Nothing tells the receiver that it is a repeat.
        (
            Then::Reset,
            json!({"id_header": "none", "fields": [{"name": "id", "source": "event_id"}]}),
            "the connection broke: connection reset",
        ),
    ] {
        let database = Database::new().await;
        let receiver = one_each(then).await;
        database
            .subscribe("acme", "orders", once(&receiver.url(), more))
            .await;
        let worker = Worker::start(&database, "").await;
        let (event, requests) = meet_a_kept_one(&database, &receiver).await;
        let delivery = database.reaches(event, "pending_retry").await;
        assert!(delivery.reason.unwrap().ends_with(reason), "{then:?}");
        assert_eq!(requests.len(), 1, "{then:?}");
        assert_eq!(
            worker.metric("posthorn_requests_sent_again_total").await,
            0.0
        );
    }
}

/// Seen with a load balancer that ends idle connections by "408 Request Time-out".
#[tokio::test]
async fn what_a_receiver_says_unasked_is_no_answer() {
    let database = Database::new().await;
    let said = Arc::new(Notify::new());
    let says = Arc::clone(&said);
    let receiver = Raw::serving(move |mut caller: Caller| {
        let says = Arc::clone(&says);
        async move {
            caller.request().await;
            let _ = caller.stream.write_all(OK).await;
            // So that it is not taken for a part of the answer.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let late = b"HTTP/1.1 408 Request Time-out\r\nConnection: close\r\n\r\n";
            let _ = caller.stream.write_all(late).await;
            says.notify_one();
        }
    })
    .await;
    database
        .subscribe("acme", "orders", once(&receiver.url(), json!({})))
        .await;
    let _worker = Worker::start(&database, "").await;
    for number in 1..=3 {
        database.publish("acme", "t1", "approved", "{}").await;
        database.count_reaches("delivered", number).await;
        said.notified().await;
    }
    assert_eq!(receiver.connections(), [0, 1, 2]);
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_a_failed_attempt() {
    let database = Database::new().await;
    let receiver = Raw::serving(|mut caller: Caller| async move {
        if caller.connection == 0 {
            caller.request().await;
            let _ = caller.stream.write_all(OK).await;
        }
        caller.request().await;
        caller.reset();
    })
    .await;
    let settings = once(&receiver.url(), json!({}));
    database.subscribe("acme", "orders", settings).await;
    let _worker = Worker::start(&database, "").await;
    let first = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(first, "delivered").await;
    let second = database.publish("acme", "t2", "approved", "{}").await;
    let delivery = database.reaches(second, "pending_retry").await;
    assert_eq!(delivery.attempts, 1);
    let sent = receiver.requests().len() - 1;
    let reason = delivery.reason.unwrap();
    // Two where the connection of the first event was still kept.
    assert_eq!(sent, if reason.contains(TWICE) { 2 } else { 1 }, "{reason}");
    assert!(reason.contains("the connection broke: connection reset"));
}

/// A worker whose one receiver says this of its connections.
async fn answering_with(header: &str) -> (Database, Raw, Worker) {
    let database = Database::new().await;
    let answer = format!("HTTP/1.1 200 OK\r\n{header}\r\nContent-Length: 0\r\n\r\n");
    let receiver = Raw::saying(answer).await;
    database
        .subscribe("acme", "orders", once(&receiver.url(), json!({})))
        .await;
    let worker = Worker::start(&database, "").await;
    (database, receiver, worker)
}

#[tokio::test]
async fn a_connection_is_kept_for_no_longer_than_the_receiver_says() {
    for header in [
        "Keep-Alive: timeout=1",
        "Keep-Alive: timeout=60, max=0",
        "Connection: close",
    ] {
        let (database, receiver, _worker) = answering_with(header).await;
        for number in 1..=3 {
            database.publish("acme", "t1", "approved", "{}").await;
            database.count_reaches("delivered", number).await;
        }
        assert_eq!(receiver.connections(), [0, 1, 2], "{header}");
    }
}

/// With a second to spare: what is sent in its last moment would arrive too late.
#[tokio::test]
async fn a_connection_that_lies_idle_for_too_long_is_not_used() {
    let (database, receiver, _worker) = answering_with("Keep-Alive: timeout=2").await;
    for number in 1..=2 {
        database.publish("acme", "t1", "approved", "{}").await;
        database.count_reaches("delivered", number).await;
        // The time itself is what this is about.
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    assert_eq!(receiver.connections(), [0, 1]);
}
