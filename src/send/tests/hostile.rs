//! Receivers that want to hold a connection, fill the memory or break the parser.

use std::time::Duration;

use chrono::Utc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::receiver::{Receiver, read_request};
use super::{
    ANSWER_CAP, Credential, FailureClass, TlsSettings, Wire, loopback_sender, post, send,
    send_plainly, subscription,
};
use crate::send::answer::MOST_CHUNKS;

/// What a receiver may make of one exchange.
#[derive(Debug, PartialEq)]
enum Expected {
    Failed(FailureClass, &'static str),
    /// Status, and how much of the body is kept.
    Answered(u16, usize),
}

use Expected::{Answered, Failed};

const TOO_LARGE: Expected = Failed(FailureClass::Protocol, "the answer's headers are too large");

const MALFORMED: Expected = Failed(
    FailureClass::Protocol,
    "the answer's Content-Length is malformed",
);

type Serve = fn(TcpStream) -> futures::future::BoxFuture<'static, ()>;

/// Writes a head, and then the same again until the sender has enough.
async fn pour(mut stream: TcpStream, head: &str, again: &[u8]) {
    read_request(&mut stream).await;
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    while !again.is_empty() && stream.write_all(again).await.is_ok() {}
    drain(stream).await;
}

async fn say(stream: TcpStream, all: &str) {
    pour(stream, all, b"").await;
}

/// Everything that ends by itself, quickly, and how.
const AT_ONCE: &[(&str, Serve, Expected)] = &[
    (
        "a header without end",
        |stream| Box::pin(pour(stream, "HTTP/1.1 200 OK\r\nx: ", &[b'x'; 4096])),
        TOO_LARGE,
    ),
    (
        "headers without end",
        |stream| Box::pin(pour(stream, "HTTP/1.1 200 OK\r\n", b"a: b\r\n")),
        TOO_LARGE,
    ),
    (
        "a reason phrase without end",
        |stream| Box::pin(pour(stream, "HTTP/1.1 200 ", &[b'x'; 4096])),
        TOO_LARGE,
    ),
    (
        "1000 headers",
        |mut stream| {
            Box::pin(async move {
                read_request(&mut stream).await;
                let headers = "a: b\r\n".repeat(1000);
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{headers}\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
                drain(stream).await;
            })
        },
        Answered(200, 0),
    ),
    (
        "1xx answers without end",
        |stream| Box::pin(pour(stream, "", b"HTTP/1.1 100 Continue\r\n\r\n")),
        Failed(FailureClass::Protocol, "the answer is put off too often"),
    ),
    (
        "a body of 10 GB",
        |stream| {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
            Box::pin(pour(stream, head, &[b'x'; 65536]))
        },
        Answered(200, ANSWER_CAP),
    ),
    (
        "chunks without end",
        |stream| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = [b"40\r\n", [b'x'; 64].as_slice(), b"\r\n"].concat();
            Box::pin(async move { pour(stream, head, &chunk).await })
        },
        Answered(200, ANSWER_CAP),
    ),
    (
        "chunks of a byte",
        |stream| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            Box::pin(pour(stream, head, b"1\r\nx\r\n"))
        },
        Answered(200, MOST_CHUNKS),
    ),
    (
        "a chunk's extension without end",
        |stream| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8;";
            Box::pin(pour(stream, head, &[b'x'; 4096]))
        },
        Answered(200, 0),
    ),
    (
        "trailers without end",
        |stream| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
            Box::pin(pour(stream, head, b"a: b\r\n"))
        },
        Answered(200, 0),
    ),
    (
        "a gzip bomb",
        |stream| {
            let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1000000\r\n\r\n\
                        \u{1f}";
            Box::pin(pour(stream, head, &[0; 4096]))
        },
        Answered(200, ANSWER_CAP),
    ),
    (
        "two lengths",
        |stream| {
            Box::pin(say(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            ))
        },
        MALFORMED,
    ),
    (
        "a length that is none",
        |stream| Box::pin(say(stream, "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n")),
        MALFORMED,
    ),
    (
        "a length beyond all numbers",
        |stream| {
            Box::pin(say(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
            ))
        },
        MALFORMED,
    ),
    (
        "a chunk beyond all numbers",
        |stream| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                        ffffffffffffffffff\r\n";
            Box::pin(say(stream, head))
        },
        Answered(200, 0),
    ),
    (
        "HTTP/0.9",
        |stream| Box::pin(say(stream, "<html>hello</html>\n")),
        Failed(FailureClass::Protocol, "the answer is not HTTP/1.1"),
    ),
    (
        "HTTP/2 without a word about it",
        |stream| Box::pin(say(stream, "\0\0\u{12}\u{4}\0\0\0\0\0")),
        Failed(FailureClass::Protocol, "the answer is not HTTP/1.1"),
    ),
    (
        "a reset",
        |mut stream| {
            Box::pin(async move {
                read_request(&mut stream).await;
                stream.set_zero_linger().unwrap();
            })
        },
        Failed(
            FailureClass::Protocol,
            "the connection broke: connection reset",
        ),
    ),
    (
        "a reset within the body",
        |mut stream| {
            Box::pin(async move {
                read_request(&mut stream).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
                stream.write_all(head).await.unwrap();
                stream.set_zero_linger().unwrap();
            })
        },
        Answered(200, 4),
    ),
    (
        "a half that is closed at once",
        |mut stream| {
            Box::pin(async move {
                stream.shutdown().await.unwrap();
                drain(stream).await;
            })
        },
        Failed(
            FailureClass::Protocol,
            "the connection was closed before the answer was complete",
        ),
    ),
];

/// What only the deadline over the whole exchange ends.
const FOR_EVER: &[(&str, Serve)] = &[
    ("nothing is read", |stream| {
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
    }),
    ("a drip of headers", |stream| {
        Box::pin(drip(stream, "HTTP/1.1 200 OK\r\nx: "))
    }),
];

/// What only the deadline ends as well, behind a status that is there.
const BODIES_FOR_EVER: &[(&str, Serve)] = &[
    ("a drip of body", |stream| {
        Box::pin(drip(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n",
        ))
    }),
    ("a drip of chunks", |stream| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n";
        Box::pin(drip(stream, head))
    }),
];

async fn drip(mut stream: TcpStream, head: &str) {
    read_request(&mut stream).await;
    let _ = stream.write_all(head.as_bytes()).await;
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    while stream.write_all(b"x").await.is_ok() {
        pace.tick().await;
    }
}

async fn drain(mut stream: TcpStream) {
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
}

#[tokio::test]
async fn whatever_a_receiver_does_ends_and_is_named() {
    for (name, serve, expected) in AT_ONCE {
        let receiver = Receiver::start(serve).await;
        let outcome = send_plainly(&receiver.url()).await;
        assert!(outcome.duration < Duration::from_secs(10), "{name}");
        match outcome.wire {
            Wire::Answer(answer) => {
                assert_eq!(
                    Answered(answer.status, answer.body.len()),
                    *expected,
                    "{name}"
                );
            }
            Wire::Failed { class, detail } => {
                let cause = detail.split_once(": ").unwrap().1.to_owned();
                assert_eq!(Failed(class, cause.leak()), *expected, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn the_deadline_spans_the_whole_exchange() {
    let limit = Duration::from_millis(400);
    for (name, serve) in FOR_EVER {
        let receiver = Receiver::start(serve).await;
        let mut subscription = subscription(TlsSettings::default());
        subscription.timeout = limit;
        let outcome = send(&loopback_sender(), &receiver.url(), &subscription).await;
        assert!(outcome.duration < limit + Duration::from_secs(2), "{name}");
        let Wire::Failed { class, detail } = outcome.wire else {
            panic!("{name}: answered");
        };
        assert_eq!(class, FailureClass::Timeout, "{name}: {detail}");
    }
    for (name, serve) in BODIES_FOR_EVER {
        let receiver = Receiver::start(serve).await;
        let mut subscription = subscription(TlsSettings::default());
        subscription.timeout = limit;
        let outcome = send(&loopback_sender(), &receiver.url(), &subscription).await;
        assert!(outcome.duration < limit + Duration::from_secs(2), "{name}");
        let Wire::Answer(answer) = outcome.wire else {
            panic!("{name}: no answer");
        };
        assert_eq!(
            answer.incomplete.as_deref(),
            Some("the answer was not complete within 400ms"),
            "{name}"
        );
    }
}

/// Who does not read the request is read no longer than others.
#[tokio::test]
async fn who_takes_nothing_may_not_say_more() {
    let receiver = Receiver::start(|mut stream| async move {
        while stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    let mut request = post(&receiver.url());
    request.body = vec![b'x'; 16 * 1024 * 1024].into();
    let subscription = subscription(TlsSettings::default());
    let sender = loopback_sender();
    let outcome = sender
        .send(&mut request, &subscription, Credential::Current, Utc::now())
        .await;
    let Wire::Failed { detail, .. } = outcome.wire else {
        panic!("an answer");
    };
    assert!(
        detail.ends_with("the answer is put off too often"),
        "{detail}"
    );
}

/// The connection that brought it must not answer for the next request.
#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_not_taken_for_the_next() {
    let receiver = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
        let two = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n\
                   HTTP/1.1 299 Forged\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(two.as_bytes()).await.unwrap();
        drain(stream).await;
    })
    .await;
    let sender = loopback_sender();
    let subscription = subscription(TlsSettings::default());
    for _ in 0..5 {
        let Wire::Answer(answer) = send(&sender, &receiver.url(), &subscription).await.wire else {
            panic!("no answer");
        };
        assert_eq!(answer.status, 200);
    }
    assert_eq!(receiver.connections(), 5);
}
