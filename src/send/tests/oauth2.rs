//! Access tokens from real token servers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use tokio::io::AsyncWriteExt;

use super::receiver::{Receiver, read_request};
use super::{
    CANARY, Credential, FailureClass, Subscription, TlsSettings, answer, failure, loopback_sender,
    post, send, subscription,
};
use crate::model::Auth;
use crate::model::subscription::{ClientAuth, OAuth2Client};

/// A server that keeps what it was asked, and answers the n-th request (from 1) as it is
/// told.
struct Server {
    receiver: Receiver,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn answering(answer: impl Fn(usize) -> String + Clone + Send + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let receiver = Receiver::start({
            let asked = Arc::clone(&asked);
            move |mut stream| {
                let (asked, answer) = (Arc::clone(&asked), answer.clone());
                async move {
                    while let Some(request) = read_request(&mut stream).await {
                        let number = {
                            let mut asked = asked.lock().unwrap();
                            asked.push(request);
                            asked.len()
                        };
                        if stream.write_all(answer(number).as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            }
        })
        .await;
        Self { receiver, asked }
    }

    async fn giving_tokens(expires_in: u64) -> Self {
        Self::answering(move |number| {
            ok(&format!(
                r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":{expires_in}}}"#
            ))
        })
        .await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The bearer tokens that came, in order.
    fn bearers(&self) -> Vec<String> {
        let of = |request: &String| {
            let line = request
                .lines()
                .find(|line| line.starts_with("Authorization: "));
            line.map(|line| line.replace("Authorization: Bearer ", ""))
        };
        self.asked().iter().filter_map(of).collect()
    }

    fn place(&self) -> String {
        self.receiver.address.to_string()
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
}

pub(super) fn client(token_url: &str) -> Auth {
    Auth::OAuth2(Box::new(OAuth2Client {
        token_url: token_url.parse().unwrap(),
        id: "posthorn".to_owned(),
        secret: CANARY.into(),
        sent_in: ClientAuth::Basic,
        scope: None,
        audience: None,
    }))
}

fn with_tokens_of(server: &Server) -> Subscription {
    Subscription {
        auth: client(&format!("http://{}/token", server.receiver.address)),
        ..subscription(TlsSettings::default())
    }
}

#[tokio::test]
async fn many_sends_at_once_ask_for_one_token() {
    let tokens = Server::giving_tokens(3600).await;
    let receiver = Server::answering(|_| status("204 No Content")).await;
    let (sender, url) = (loopback_sender(), receiver.receiver.url());
    let subscription = with_tokens_of(&tokens);
    let sends = (0..200).map(|_| send(&sender, &url, &subscription));
    for outcome in join_all(sends).await {
        assert_eq!(answer(outcome).status, 204);
    }
    assert_eq!(receiver.bearers(), vec!["token-1"; 200]);
    let [asked] = &tokens.asked()[..] else {
        panic!("{} requests", tokens.asked().len());
    };
    assert!(asked.starts_with("POST /token HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.ends_with("\r\n\r\ngrant_type=client_credentials"),
        "{asked}"
    );
    // posthorn:canary-8d1f
    let basic = "Authorization: Basic cG9zdGhvcm46Y2FuYXJ5LThkMWY=\r\n";
    assert!(asked.contains(basic), "{asked}");

    // Another subscription has a token of its own, and so has the other credential.
    let other = Subscription {
        id: uuid::Uuid::from_u128(7),
        auth_previous: Some(subscription.auth.clone()),
        ..subscription
    };
    answer(send(&sender, &url, &other).await);
    let mut request = post(&url);
    let previous = sender.send(
        &mut request,
        &other,
        Credential::Previous,
        chrono::Utc::now(),
    );
    answer(previous.await);
    assert_eq!(receiver.bearers()[200..], ["token-2", "token-3"]);
}

#[tokio::test]
async fn a_401_of_the_receiver_brings_another_token() {
    let tokens = Server::giving_tokens(3600).await;
    let receiver = Server::answering(|number| match number {
        2 => status("401 Unauthorized"),
        3 => status("403 Forbidden"),
        _ => status("200 OK"),
    })
    .await;
    let (sender, url) = (loopback_sender(), receiver.receiver.url());
    let subscription = with_tokens_of(&tokens);
    let mut statuses = vec![];
    for _ in 0..5 {
        statuses.push(answer(send(&sender, &url, &subscription).await).status);
    }
    assert_eq!(statuses, [200, 401, 403, 200, 200]);
    let expected = ["token-1", "token-1", "token-2", "token-2", "token-2"];
    assert_eq!(receiver.bearers(), expected);
}

#[tokio::test]
async fn a_token_that_has_run_out_is_not_used_again() {
    let tokens = Server::giving_tokens(0).await;
    let receiver = Server::answering(|_| status("200 OK")).await;
    let (sender, url) = (loopback_sender(), receiver.receiver.url());
    let subscription = with_tokens_of(&tokens);
    // Those who wait for it at the same time share even such a token.
    join_all((0..20).map(|_| send(&sender, &url, &subscription))).await;
    answer(send(&sender, &url, &subscription).await);
    let mut bearers = vec!["token-1"; 20];
    bearers.push("token-2");
    assert_eq!(receiver.bearers(), bearers);
}

#[tokio::test]
async fn a_token_server_that_fails_is_an_outcome_with_its_reason() {
    let receiver = Server::answering(|_| status("200 OK")).await;
    let url = receiver.receiver.url();
    for (said, refused, reason) in [
        (
            "HTTP/1.1 401 No\r\ncontent-length: 26\r\n\r\n{\"error\":\"invalid_client\"}",
            true,
            "401 invalid_client; if the credentials are right, try oauth2_client_auth = \"body\"",
        ),
        (
            "HTTP/1.1 400 No\r\ncontent-length: 25\r\n\r\n{\"error\":\"invalid_scope\"}",
            false,
            "400 invalid_scope",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            false,
            "302, and redirects are not followed",
        ),
    ] {
        let tokens = Server::answering(|_| said.to_owned()).await;
        let sender = loopback_sender();
        let subscription = with_tokens_of(&tokens);
        for _ in 0..3 {
            let outcome = send(&sender, &url, &subscription).await;
            assert!(!format!("{outcome:?}").contains(CANARY), "{outcome:?}");
            let expected = format!("token server {}: {reason}", tokens.place());
            assert_eq!(
                failure(outcome),
                (FailureClass::Token { refused }, expected)
            );
        }
        assert_eq!(tokens.asked().len(), 1, "it is left alone for a moment");
    }
    let oversized = ok(&"x".repeat(200_000));
    let tokens = Server::answering(move |_| oversized.clone()).await;
    let outcome = send(&loopback_sender(), &url, &with_tokens_of(&tokens)).await;
    let (_, detail) = failure(outcome);
    assert!(detail.ends_with("longer than 65536 bytes"), "{detail}");
    assert_eq!(receiver.asked(), [""; 0], "nothing went to the receiver");
}

#[tokio::test]
async fn the_token_counts_in_the_timeout() {
    let tokens = Receiver::start(|mut stream| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let subscription = Subscription {
        auth: client(&tokens.url()),
        timeout: Duration::from_millis(300),
        ..subscription(TlsSettings::default())
    };
    let sender = loopback_sender();
    let sends = (0..20).map(|_| send(&sender, "http://127.0.0.1:1/", &subscription));
    for outcome in join_all(sends).await {
        assert!(outcome.duration < Duration::from_secs(5));
        let expected = format!(
            "token server {}: no access token within 300ms",
            tokens.address
        );
        assert_eq!(failure(outcome), (FailureClass::Timeout, expected));
    }
    assert_eq!(tokens.connections(), 1, "one asks, the others wait");
}

#[tokio::test]
async fn a_token_server_is_under_the_same_egress_policy() {
    for (token_url, class, reason) in [
        (
            format!("https://10.0.0.1/{CANARY}"),
            FailureClass::Refused,
            "token server 10.0.0.1:443: the egress policy forbids 10.0.0.1",
        ),
        (
            format!("http://127.0.0.1:1/{CANARY}"),
            FailureClass::Connect,
            "token server 127.0.0.1:1: no connection: connection refused",
        ),
    ] {
        let subscription = Subscription {
            auth: client(&token_url),
            ..subscription(TlsSettings::default())
        };
        let outcome = send(&loopback_sender(), "http://127.0.0.1:1/", &subscription).await;
        let (found, detail) = failure(outcome);
        assert_eq!(found, class, "{detail}");
        assert!(detail.starts_with(reason), "{detail}");
        assert!(!detail.contains(CANARY), "{detail}");
    }
}
