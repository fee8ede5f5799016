//! The receiver answers as it is told, and counts what arrives.

use std::time::Duration;

use posthorn::receiver::{Behaviour, Receiver, TooFew};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is expected to happen happens at once; the rest is for a machine under load.
const PATIENCE: Duration = Duration::from_secs(20);

async fn receiver() -> Receiver {
    Receiver::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
}

fn behaviour(text: &str) -> Behaviour {
    text.parse().unwrap()
}

async fn send(receiver: &Receiver, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The whole answer as text; empty if the connection ended without one.
async fn exchange(receiver: &Receiver, path: &str) -> String {
    let mut stream = send(receiver, path, "hello").await;
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer));
    // A reset is an end without an answer, too.
    let _ = read.await.expect("an answer");
    answer
}

#[tokio::test]
async fn each_path_answers_as_it_was_told() {
    let receiver = receiver().await;
    for (path, told) in [
        ("/fails", "503,reason=Out for lunch,header=Retry-After:7"),
        ("/text", "200,body=RECEIVED"),
        ("/slow", "204,delay=20ms"),
        ("/drop", "drop"),
        ("/flaky", "500,times=1,then=drop,times=1,then=200"),
    ] {
        receiver.on(path, behaviour(told));
    }
    for (path, start, part) in [
        ("/anything?x=1", "HTTP/1.1 200 OK", "content-length: 0"),
        (
            "/fails/below",
            "HTTP/1.1 503 Out for lunch",
            "retry-after: 7",
        ),
        ("/text", "HTTP/1.1 200 OK", "\r\n\r\nRECEIVED"),
        ("/slow", "HTTP/1.1 204", ""),
        ("/drop", "", ""),
        ("/flaky", "HTTP/1.1 500", ""),
        ("/flaky", "", ""),
        ("/flaky", "HTTP/1.1 200", ""),
        ("/flaky", "HTTP/1.1 200", ""),
    ] {
        let answer = exchange(&receiver, path).await;
        assert!(answer.starts_with(start), "{path}: {answer}");
        assert!(answer.contains(part), "{path}: {answer}");
        assert_eq!(answer.is_empty(), start.is_empty(), "{path}: {answer}");
    }
    receiver.on("/fails", behaviour("200"));
    assert!(
        exchange(&receiver, "/fails")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert_eq!(receiver.endpoint("/fails").received(), 2);
    assert_eq!(receiver.received(), 10);
}

#[tokio::test]
async fn requests_are_kept_up_to_the_limit() {
    let receiver = receiver().await;
    exchange(&receiver, "/unseen").await;
    assert!(receiver.requests().is_empty());
    receiver.record(2);
    for path in ["/one", "/two?a=b", "/three"] {
        exchange(&receiver, path).await;
    }
    receiver.wait_for(4, PATIENCE).await.unwrap();
    let kept = receiver.requests();
    let paths: Vec<_> = kept.iter().map(|r| r.path_and_query.as_str()).collect();
    assert_eq!(paths, ["/two?a=b", "/three"]);
    assert_eq!(kept[0].body, "hello");
    assert_eq!(kept[0].headers["host"], "here");
    assert!(kept[0].arrived <= kept[1].arrived);
}

#[tokio::test]
async fn simultaneous_requests_are_counted_per_path_and_a_lost_sender_is_let_go() {
    let receiver = receiver().await;
    let hang = receiver.on("/hang", Behaviour::hang());
    let mut senders = vec![];
    for _ in 0..3 {
        senders.push(send(&receiver, "/hang", "").await);
    }
    hang.wait_for(3, PATIENCE).await.unwrap();
    exchange(&receiver, "/else").await;
    assert_eq!((hang.in_flight(), hang.max_in_flight()), (3, 3));
    assert_eq!(receiver.endpoint("/else").max_in_flight(), 1);

    drop(senders);
    let let_go = async {
        while hang.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, let_go).await.unwrap();
    assert_eq!(hang.max_in_flight(), 3);

    let missed = hang.wait_for(4, Duration::from_millis(1)).await;
    let (arrived, expected) = (3, 4);
    assert_eq!(missed, Err(TooFew { arrived, expected }));
}

#[tokio::test]
async fn dropping_it_ends_its_connections_and_frees_its_address() {
    let first = receiver().await;
    first.on("/", Behaviour::hang());
    let mut sender = send(&first, "/", "").await;
    first.wait_for(1, PATIENCE).await.unwrap();
    let address = first.address();
    drop(first);
    let ended = tokio::time::timeout(PATIENCE, sender.read(&mut [0; 16])).await;
    assert!(matches!(ended.unwrap(), Ok(0) | Err(_)));
    let second = Receiver::bind(address).await.unwrap();
    assert!(exchange(&second, "/").await.starts_with("HTTP/1.1 200"));
}
