//! Exchanges that end with an answer.

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use http::{HeaderValue, Method};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::receiver::{Receiver, read_request};
use super::{
    ANSWER_CAP, Credential, TlsSettings, answer, loopback_sender, post, send, send_plainly,
    send_request, subscription,
};

#[tokio::test]
async fn status_reason_retry_after_and_body_are_kept_as_they_came() {
    for (sent, status, reason, retry_after, body) in [
        (
            "HTTP/1.1 418 I am odd\r\nretry-after: 120\r\ncontent-length: 3\r\n\r\nodd",
            418,
            "I am odd",
            Some("120"),
            "odd",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nRE\r\n6\r\nCEIVED\r\n0\r\n\r\n",
            200,
            "OK",
            None,
            "RECEIVED",
        ),
        ("HTTP/1.1 204 \r\n\r\n", 204, "", None, ""),
        (
            "HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n",
            599,
            "",
            None,
            "",
        ),
    ] {
        let receiver = Receiver::answering(sent).await;
        let answer = answer(send_plainly(&receiver.url()).await);
        assert_eq!(answer.status, status);
        assert_eq!(answer.reason, reason, "{status}");
        assert_eq!(answer.retry_after.as_deref(), retry_after, "{status}");
        assert_eq!(answer.body, Bytes::from(body), "{status}");
    }
}

#[tokio::test]
async fn the_request_goes_out_as_it_was_shaped() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                seen.send(request).unwrap();
                stream
                    .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    let sender = loopback_sender();
    let subscription = subscription(TlsSettings::default());

    let mut request = post(&format!("{}?a=b%20c", receiver.url()));
    request
        .headers
        .insert("content-type", HeaderValue::from_static("application/json"));
    request.headers.insert(
        "authorization",
        HeaderValue::from_static("Basic dXNlcjpwYXNz"),
    );
    request
        .headers
        .insert("hmac-random-key", HeaderValue::from_static("7"));
    request.spelling.keep("HMAC-Random-Key");
    request.body = Bytes::from_static(b"{\"id\":\"1\"}");
    answer(send_request(&sender, &mut request, &subscription).await);
    assert_eq!(
        requests.recv().await.unwrap(),
        format!(
            "POST /hook?a=b%20c HTTP/1.1\r\n\
             Host: {}\r\n\
             Content-Type: application/json\r\n\
             Authorization: Basic dXNlcjpwYXNz\r\n\
             HMAC-Random-Key: 7\r\n\
             Accept: */*\r\n\
             Content-Length: 10\r\n\r\n\
             {{\"id\":\"1\"}}",
            receiver.address
        )
    );

    let mut request = post(&receiver.url());
    request.method = Method::GET;
    request.body = Bytes::new();
    answer(send_request(&sender, &mut request, &subscription).await);
    assert_eq!(
        requests.recv().await.unwrap(),
        format!(
            "GET /hook HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n",
            receiver.address
        )
    );
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_the_cap() {
    let receiver = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        // Ends when the sender closes the connection.
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    let answer = answer(send_plainly(&receiver.url()).await);
    assert_eq!(answer.body.len(), ANSWER_CAP);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let receiver = Receiver::answering(
        "HTTP/1.1 302 Found\r\nlocation: https://elsewhere.example/?token=canary\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    )
    .await;
    let answer = answer(send_plainly(&receiver.url()).await);
    assert_eq!(answer.status, 302);
    assert_eq!(answer.redirects_to.as_deref(), Some("elsewhere.example"));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn connections_are_kept_for_the_next_request() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let sender = loopback_sender();
    let subscription = subscription(TlsSettings::default());
    for _ in 0..20 {
        answer(send(&sender, &receiver.url(), &subscription).await);
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn an_outcome_carries_the_time_that_it_was_given() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let subscription = subscription(TlsSettings::default());
    let database_time = Utc::now() - TimeDelta::days(1);
    let outcome = loopback_sender()
        .send(
            &mut post(&receiver.url()),
            &subscription,
            Credential::Current,
            database_time,
        )
        .await;
    assert_eq!(outcome.started_at, database_time);
    assert!(!outcome.duration.is_zero());
}
