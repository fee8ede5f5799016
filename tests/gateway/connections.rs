//! Connections: nobody can take all of them, and nobody can choose whom he counts as.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::client::{ask, http};
use crate::support::{Database, PATIENCE, Setup, Worker};
use crate::wire::Raw;

async fn started(toml: &str) -> (Database, Worker) {
    let database = Database::new().await;
    let running = Setup::gateway(&database)
        .toml(&format!("[gateway]\n{toml}"))
        .start()
        .await;
    (database, running)
}

/// The status that a client from this address gets, and how long that takes.
async fn polite(source: &str, running: &Worker) -> (u16, Duration) {
    let began = Instant::now();
    let mut raw = Raw::from(source, running).await;
    raw.say("GET /v1/session HTTP/1.1\r\nHost: x\r\n\r\n").await;
    (raw.answer().await.0, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_one_address_keep_nobody_out() {
    let (_database, running) = started("max_connections = 50").await;
    let mut idle = Vec::new();
    for at in 0..60 {
        let mut raw = Raw::connect(&running).await;
        match at % 3 {
            0 => {}
            1 => raw.say("GET /v1/session HTTP/1.1\r\nHo").await,
            _ => {
                raw.say("GET /v1/session HTTP/1.1\r\nHost: x\r\n\r\n").await;
                assert_eq!(raw.answer().await.0, 401);
            }
        }
        idle.push(raw);
    }
    for source in ["127.0.0.2", "127.0.0.1"] {
        let (status, took) = polite(source, &running).await;
        assert_eq!(status, 401);
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_connections_of_one_address_make_room_for_another() {
    let (database, running) = started("max_connections = 20\nmax_open_per_token = 1000").await;
    let session = database.session("acme", "t1", "").await;
    let mut busy = Vec::new();
    for at in 0..20 {
        if at % 2 == 0 {
            busy.push(Raw::join(&running, &session, "now").await);
            continue;
        }
        let mut raw = Raw::connect(&running).await;
        raw.say(&format!(
            "GET /v1/session?wait=60s&token={session} HTTP/1.1\r\nHost: x\r\n\r\n"
        ))
        .await;
        busy.push(raw);
    }
    let waits = "posthorn_gateway_open{transport=\"wait\"}";
    while running.metric(waits).await < 9.0 {}
    let (status, took) = polite("127.0.0.2", &running).await;
    assert_eq!(status, 401);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_and_proxies_have_more() {
    let (database, running) =
        started("max_connections_per_address = 3\ntrusted_proxies = ['127.0.0.9/32']").await;
    let session = database.session("acme", "t1", "").await;
    let waits = format!("GET /v1/session?wait=60s&token={session} HTTP/1.1\r\nHost: x\r\n");
    let mut open = Vec::new();
    for source in [
        "127.0.0.1",
        "127.0.0.1",
        "127.0.0.1",
        "127.0.0.9",
        "127.0.0.9",
        "127.0.0.9",
    ] {
        let mut raw = Raw::from(source, &running).await;
        raw.say(&format!("{waits}X-Forwarded-For: 192.0.2.1:4711\r\n\r\n"))
            .await;
        open.push(raw);
    }
    let waiting = "posthorn_gateway_open{transport=\"wait\"}";
    while running.metric(waiting).await < 6.0 {}
    let mut refused = Raw::from("127.0.0.1", &running).await;
    let (status, body) = refused.answer().await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["error"]["code"]), (503, &"busy".into()));
    // Behind the proxy an address has as many, whatever it writes there itself.
    for (forwarded, expected) in [
        ("192.0.2.1", 429),
        ("203.0.113.5, 192.0.2.1:99", 429),
        ("192.0.2.2", 401),
        ("[2001:db8::1]:80", 401),
    ] {
        let mut raw = Raw::from("127.0.0.9", &running).await;
        raw.say(&format!(
            "GET /v1/session HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {forwarded}\r\n\r\n"
        ))
        .await;
        assert_eq!(raw.answer().await.0, expected, "{forwarded}");
    }
}

#[tokio::test]
async fn junk_in_a_forwarded_header_does_not_hide_the_address_beside_it() {
    let (_database, running) =
        started("rate_per_address = 2\ntrusted_proxies = ['127.0.0.0/8', '10.0.0.0/8']").await;
    let from = async |forwarded: &'static [u8]| {
        let value = reqwest::header::HeaderValue::from_bytes(forwarded).unwrap();
        let request = http()
            .get(format!("{}/v1/session", running.gateway()))
            .header("X-Forwarded-For", value);
        ask(request).await.0
    };
    let mut statuses = Vec::new();
    let dresses: [&[u8]; 6] = [
        b"203.0.113.5:1",
        b"junk, 203.0.113.5:65535",
        b"\xff\xfe, 203.0.113.5",
        b",,, 203.0.113.5:7 , 10.1.2.3:80",
        b"198.51.100.1, 203.0.113.5,10.1.2.3",
        b"[::ffff:203.0.113.5]:99",
    ];
    for dress in dresses.iter().cycle().take(18) {
        statuses.push(from(dress).await);
    }
    let through = statuses.iter().filter(|status| **status == 401).count();
    assert!(through < 9, "{statuses:?}");
    assert_eq!(from(b"203.0.113.6:1").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_says_something_soon_and_ends_it() {
    let (_database, running) = started("").await;
    // Who has said something may rest, and more than once.
    let mut rests = Raw::connect(&running).await;
    for _ in 0..2 {
        rests
            .say("GET /v1/session HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        assert_eq!(rests.answer().await.0, 401);
    }
    let mut silent = Raw::connect(&running).await;
    let mut drips = Raw::connect(&running).await;
    let ended = async {
        let dripping = async {
            for byte in "GET /v1/session HTTP/1.1\r\nHost: x\r\nX: "
                .bytes()
                .chain([b'x'; 200])
            {
                if drips.stream.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        };
        tokio::join!(silent.ends(), dripping);
    };
    timeout(PATIENCE, ended).await.unwrap();
    drips.ends().await;
    assert!(!rests.ends_within(Duration::from_secs(6)).await);
    rests
        .say("GET /v1/session HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert_eq!(rests.answer().await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_its_host_once() {
    let (_database, running) = started("").await;
    for (version, hosts, expected) in [
        ("1.1", "Host: pay.example.com\r\n", 401),
        ("1.1", "Host: [::1]:8090\r\n", 401),
        ("1.0", "", 401),
        ("1.1", "", 400),
        ("1.1", "Host:\r\n", 400),
        ("1.1", "Host: a b\r\n", 400),
        ("1.1", "Host: user@example.com\r\n", 400),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.0", "Host: a\r\nhost: b\r\n", 400),
    ] {
        for method in ["GET", "OPTIONS"] {
            let mut raw = Raw::connect(&running).await;
            raw.say(&format!(
                "{method} /v1/session HTTP/{version}\r\n{hosts}\r\n"
            ))
            .await;
            let (status, body) = raw.answer().await;
            if expected == 400 || method == "GET" {
                assert_eq!(status, expected, "{version} {hosts:?}: {body}");
            }
            if expected == 400 {
                has_the_form(&body, "malformed");
            }
        }
    }
}

fn has_the_form(body: &str, code: &str) {
    let said: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{body:?}"));
    assert_eq!(said["error"]["code"], code, "{body}");
    assert!(said["error"]["message"].is_string(), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_has_one_form() {
    let (_database, running) = started("").await;
    let long = "x".repeat(20_000);
    let deep = format!("/{}", "y".repeat(70_000));
    for (request, status, code) in [
        ("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found"),
        ("BREW /v1/events HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method"),
        (
            "GET /v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n",
            405,
            "method",
        ),
        (
            "GET /v1/events?limit=many HTTP/1.1\r\nHost: x\r\n\r\n",
            400,
            "malformed",
        ),
        (
            "GET /v1/transactions/%ff HTTP/1.1\r\nHost: x\r\n\r\n",
            400,
            "malformed",
        ),
        (
            "GET /socket.io/ HTTP/1.1\r\nHost: x\r\n\r\n",
            400,
            "malformed",
        ),
        (
            "GET /socket.io/?EIO=3&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n",
            400,
            "malformed",
        ),
        (
            "GET /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: x\r\n\r\n",
            400,
            "malformed",
        ),
        (
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n\r\n",
            400,
            "malformed",
        ),
        (
            "PUT /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n",
            405,
            "method",
        ),
        (
            "POST /v1/security-token HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
            400,
            "malformed",
        ),
        (
            "POST /v1/security-token HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
            413,
            "too_large",
        ),
        ("GARBAGE\r\n\r\n", 400, "malformed"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n", 400, "malformed"),
        (
            "GET /v1/session HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
            400,
            "malformed",
        ),
        (
            &format!("GET /v1/session HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
            431,
            "too_large",
        ),
        (
            &format!("GET {deep} HTTP/1.1\r\nHost: x\r\n\r\n"),
            431,
            "too_large",
        ),
    ] {
        let mut raw = Raw::connect(&running).await;
        raw.say(request).await;
        let (found, body) = raw.answer().await;
        assert_eq!(found, status, "{request:.90}: {body}");
        has_the_form(&body, code);
    }
    let delete = http().delete(format!("{}/v1/events", running.gateway()));
    let response = delete.send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET,HEAD");
}
