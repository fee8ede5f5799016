//! What arrives, byte by byte, when configuration and data try to add to it.

use std::time::Duration;

use chrono::Utc;
use posthorn::model::{Credential, Settings, Wire};
use posthorn::send::{EgressPolicy, Network, Sender};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::text::hostile;
use crate::{cases, event, resolved, shaped};

/// Once each, and nothing else that steers a connection or pretends to be ours.
const NEVER: &[&str] = &[
    "connection",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// `user-agent`, three `webhook-…`, `content-type`, `accept`, `accept-encoding`, `host`,
/// `content-length` and the API key's.
const MOST_HEADERS: usize = 10;

const PATIENCE: Duration = Duration::from_secs(30);

fn loopback() -> Sender {
    let policy = EgressPolicy {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressPolicy::default()
    };
    let network = Network {
        policy,
        ..Network::default()
    };
    Sender::new(network, 1024)
}

/// Head and body of the one request of a connection, and what came behind it.
async fn received(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..length]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            return (head, bytes[end + 4..].to_vec());
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the time is only passed on")]
fn nothing_is_added_to_a_request() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let sender = loopback();
    let strategy = (
        hostile(),
        hostile(),
        hostile(),
        prop::sample::select(&[
            ("POST", "json"),
            ("POST", "xml"),
            ("POST", "nvp"),
            ("GET", "query"),
        ]),
    );
    let sent = std::cell::Cell::new(0);
    TestRunner::new(cases(2_000))
        .run(&strategy, |(path, secret, data, form)| {
            let settings = Settings {
                url: Some(format!("http://{address}/{path}")),
                method: Some(form.0.to_owned()),
                encoding: Some(form.1.to_owned()),
                auth: Some("api_key".to_owned()),
                auth_secret: Some("env:KEY".to_owned()),
                ..Settings::default()
            };
            // Where a random text is refused, the rest is tried with one that is not.
            let subscription = resolved(&settings, &secret)
                .or_else(|_| resolved(&settings, "X-Key: abc"))
                .or_else(|_| {
                    let url = Some(format!("http://{address}/"));
                    resolved(
                        &Settings {
                            url,
                            ..settings.clone()
                        },
                        &secret,
                    )
                });
            let Ok(subscription) = subscription else {
                return Ok(());
            };
            let data = json!({ &data: &data }).to_string();
            let Ok(mut request) = shaped(&event(&secret, &data), &subscription) else {
                return Ok(());
            };
            let body = request.body.clone();
            let exchange = async {
                tokio::join!(
                    sender.send(&mut request, &subscription, Credential::Current, Utc::now()),
                    received(&listener)
                )
            };
            let exchange = async { tokio::time::timeout(PATIENCE, exchange).await };
            let (outcome, (head, behind)) = runtime.block_on(exchange).unwrap();
            prop_assert!(matches!(outcome.wire, Wire::Answer(_)), "{:?}", outcome);
            let mut lines = head.split("\r\n");
            let first = lines.next().unwrap();
            prop_assert_eq!(first.split(' ').count(), 3, "{}", first);
            let mut names = Vec::new();
            for line in lines {
                let (name, value) = line.split_once(": ").unwrap_or((line, ""));
                let name = name.to_ascii_lowercase();
                prop_assert!(!NEVER.contains(&name.as_str()), "{}", head);
                prop_assert!(!names.contains(&name), "{} twice: {}", name, head);
                prop_assert!(!value.contains(['\r', '\n', '\0']));
                if name == "host" {
                    prop_assert_eq!(value, address.to_string());
                }
                names.push(name);
            }
            prop_assert!(names.iter().any(|name| name == "host"));
            // Ours, the HTTP client's, and the one of the API key.
            prop_assert!(names.len() <= MOST_HEADERS, "{}", head);
            prop_assert_eq!(&behind, &body[..]);
            sent.set(sent.get() + 1);
            Ok(())
        })
        .unwrap();
    println!("{} requests arrived as they were shaped", sent.get());
    assert!(sent.get() > 500);
}
