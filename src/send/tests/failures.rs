//! Exchanges that end without an answer: each class, and what an operator reads.

use std::time::Duration;

use chrono::Utc;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::receiver::{Receiver, read_request};
use super::{
    ANSWER_CAP, CANARY, Credential, FailureClass, Network, Sender, TlsSettings, answer, failure,
    loopback_sender, post, send, send_plainly, subscription,
};

#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Hang,
    DripHeaders,
    Drop,
    SpeakSomethingElse,
}

async fn misbehave(mut stream: TcpStream, behaviour: Behaviour) {
    read_request(&mut stream).await;
    match behaviour {
        Behaviour::Hang => std::future::pending().await,
        Behaviour::DripHeaders => drip(stream, "HTTP/1.1 200 OK\r\nx-long: ").await,
        Behaviour::Drop => {}
        Behaviour::SpeakSomethingElse => {
            stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await.unwrap();
        }
    }
}

/// Always something, never enough: only a deadline over the whole exchange ends it.
async fn drip(mut stream: TcpStream, head: &str) {
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while stream.write_all(b"x").await.is_ok() {
        pace.tick().await;
    }
}

#[tokio::test]
async fn a_receiver_that_misbehaves_has_its_class_and_its_reason() {
    for (behaviour, class, reason) in [
        (
            Behaviour::Hang,
            FailureClass::Timeout,
            "no answer within 500ms",
        ),
        (
            Behaviour::DripHeaders,
            FailureClass::Timeout,
            "no answer within 500ms",
        ),
        (
            Behaviour::Drop,
            FailureClass::Protocol,
            "the connection was closed before the answer was complete",
        ),
        (
            Behaviour::SpeakSomethingElse,
            FailureClass::Protocol,
            "the answer is not HTTP/1.1",
        ),
    ] {
        let receiver = Receiver::start(move |stream| misbehave(stream, behaviour)).await;
        let mut subscription = subscription(TlsSettings::default());
        if class == FailureClass::Timeout {
            subscription.timeout = Duration::from_millis(500);
        }
        let url = format!("{}?key={CANARY}", receiver.url());
        let outcome = send(&loopback_sender(), &url, &subscription).await;

        let longest = subscription.timeout + Duration::from_secs(2);
        assert!(outcome.duration < longest, "{behaviour:?}");
        // It went out, whatever came back.
        let peer = outcome.sent.map(|sent| sent.peer.address);
        assert_eq!(peer, Some(receiver.address.ip()), "{behaviour:?}");
        assert_eq!(
            failure(outcome),
            (class, format!("{}: {reason}", receiver.address)),
            "{behaviour:?}"
        );
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_connect_failure() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let url = format!("http://{address}/?key={CANARY}");
    let outcome = send_plainly(&url).await;
    assert_eq!(
        failure(outcome),
        (
            FailureClass::Connect,
            format!("{address}: no connection: connection refused")
        )
    );
}

#[tokio::test]
async fn a_tls_handshake_that_stalls_ends_with_the_connect_timeout() {
    let receiver = Receiver::start(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let mut subscription = subscription(TlsSettings::default());
    subscription.connect_timeout = Duration::from_millis(200);
    let url = format!("https://{}/", receiver.address);
    assert_eq!(
        failure(send(&loopback_sender(), &url, &subscription).await),
        (
            FailureClass::Connect,
            format!(
                "{}: no connection within the connect timeout",
                receiver.address
            )
        )
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_dns_failure() {
    let url = format!("https://nonexistent.invalid/?key={CANARY}");
    let outcome = send_plainly(&url).await;
    let (class, detail) = failure(outcome);
    assert_eq!(class, FailureClass::Dns, "{detail}");
    assert!(
        detail.starts_with("nonexistent.invalid:443: the name look-up failed: "),
        "{detail}"
    );
    assert!(!detail.contains(CANARY), "{detail}");
}

#[tokio::test]
async fn a_forbidden_address_is_refused_without_a_dial() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let port = receiver.address.port();
    let subscription = subscription(TlsSettings::default());
    let default = Sender::new(Network::default(), ANSWER_CAP);
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://0x7f.1:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("https://127.0.0.1.:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://localhost:{port}/"),
        format!("http://localhost:{port}/"),
    ] {
        let (class, detail) = failure(send(&default, &url, &subscription).await);
        assert_eq!(class, FailureClass::Refused, "{url}: {detail}");
    }
    // The first connection that is seen is the one that is allowed.
    answer(send(&loopback_sender(), &receiver.url(), &subscription).await);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_url_that_cannot_be_meant_is_refused() {
    let subscription = subscription(TlsSettings::default());
    for url in [
        format!("http://user:{CANARY}@127.0.0.1/"),
        format!("ftp://127.0.0.1/{CANARY}"),
        format!("data:{CANARY}"),
    ] {
        let outcome = loopback_sender()
            .send(
                &mut post(&url),
                &subscription,
                Credential::Current,
                Utc::now(),
            )
            .await;
        let (class, detail) = failure(outcome);
        assert_eq!(class, FailureClass::Refused, "{url}");
        assert!(!detail.contains(CANARY), "{detail}");
    }
}
