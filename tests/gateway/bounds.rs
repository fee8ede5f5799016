//! What clients can take of the gateway's memory: sockets that say too much, or take nothing.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use crate::client::{ask, http};
use crate::support::{Database, Setup, Worker, until};
use crate::wire::{BINARY, PING, Raw, TEXT, head, memory};

/// What an attack may leave behind, of the allocator's and of the connections themselves.
const LITTLE: u64 = 24;

async fn started(database: &Database, toml: &str) -> Worker {
    Setup::gateway(database)
        .toml(&format!("[gateway]\nrate_per_address = 100000\n{toml}"))
        .start()
        .await
}

/// Sends until the gateway ends the connection: what it took until then.
async fn send_until_it_ends(
    raw: &mut Raw,
    first: u8,
    next: u8,
    piece: usize,
    most: usize,
) -> usize {
    let payload = vec![b'x'; piece];
    let mut sent = 0;
    let mut opcode = first;
    while sent < most && raw.frame(opcode, &payload).await.is_ok() {
        sent += piece;
        opcode = next;
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_end_ends_the_socket_before_anybody_is_known_and_after() {
    const MANY: usize = 60 * 1024 * 1024;
    let database = Database::new().await;
    let running = started(&database, "").await;
    let session = database.session("acme", "t1", "").await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        let mut raw = Raw::connect(&running).await;
        assert_eq!(raw.upgrade("").await, 101);
        sockets.push(raw);
    }
    for _ in 0..40 {
        sockets.push(Raw::join(&running, &session, "now").await);
    }
    let before = memory(&running);
    let mut attacks = tokio::task::JoinSet::new();
    for (at, mut raw) in sockets.into_iter().enumerate() {
        attacks.spawn(async move {
            // Fragments, of a usual size and of a byte; and a single frame.
            let sent = match at % 3 {
                0 => send_until_it_ends(&mut raw, TEXT, 0, 60_000, MANY).await,
                1 => send_until_it_ends(&mut raw, TEXT, 0, 1, MANY).await,
                _ => {
                    raw.stream
                        .write_all(&head(0x80 | TEXT, MANY))
                        .await
                        .unwrap();
                    let piece = vec![b'x'; 60_000];
                    let mut sent = 0;
                    while sent < MANY && raw.stream.write_all(&piece).await.is_ok() {
                        sent += 60_000;
                    }
                    sent
                }
            };
            // The kernel's buffers take some.
            assert!(sent < MANY / 2, "{at}: {sent}");
            raw.ends().await;
        });
    }
    while let Some(ended) = attacks.join_next().await {
        ended.unwrap();
    }
    let after = memory(&running);
    println!("{before} MiB before, {after} MiB after");
    assert!(after < before + LITTLE, "{before} MiB became {after} MiB");
    // Who behaves is served.
    let mut raw = Raw::join(&running, &session, "now").await;
    database.publish("acme", "t1", "2", "{\"at\": 1}").await;
    assert_eq!(raw.event().await["at"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_client_says_ends_its_socket() {
    let database = Database::new().await;
    let running = started(&database, "").await;
    let session = database.session("acme", "t1", "").await;
    // Parts of a binary message, which the library would gather; a flood of pings; text that
    // claims to be compressed; and the opcodes that nothing has.
    for (opcode, payload, times) in [
        (
            0x80 | TEXT,
            &b"451000000-[\"x\",{\"_placeholder\":true,\"num\":0}]"[..],
            1,
        ),
        (0x80 | BINARY, &[0; 1_000][..], 1),
        (0x80 | PING, &b""[..], 1_000),
        (0x80 | TEXT, &b"42[\"x\"]"[..], 1_000),
        (0x80 | PING, &[0; 200][..], 1),
        (0xc0 | TEXT, &b"3"[..], 1),
        (0x83, &b""[..], 1),
    ] {
        let mut raw = Raw::join(&running, &session, "now").await;
        for _ in 0..times {
            if raw.frame(opcode, payload).await.is_err() {
                break;
            }
        }
        if payload.starts_with(b"45") {
            // It is the first of many, and waits for them.
            raw.frame(0x80 | BINARY, &[0; 1_000]).await.unwrap();
        }
        assert!(raw.ends_within(Duration::from_secs(5)).await, "{opcode:x}");
    }
    // The same by polling.
    let url = format!("{}/socket.io/?EIO=4&transport=polling", running.gateway());
    let (_, opened) = ask(http().get(&url)).await;
    let opened: Value = serde_json::from_str(&opened[1..]).unwrap();
    let url = format!("{url}&sid={}", opened["sid"].as_str().unwrap());
    for (body, expected) in [
        ("451000000-[\"x\"]".to_owned(), 200),
        ("3\u{1e}bAAAA".to_owned(), 400),
        ("4".repeat(20_000), 413),
    ] {
        let (status, said) = ask(http().post(&url).body(body)).await;
        assert_eq!(status, expected, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_upgrades_and_says_nothing_is_gone_in_seconds() {
    let database = Database::new().await;
    let running = started(&database, "").await;
    let mut sockets = Vec::new();
    for query in ["", "", "half"] {
        let mut query = query.to_owned();
        if query == "half" {
            // A session that polled: its WebSocket is open, and the client never says so.
            let url = format!("{}/socket.io/?EIO=4&transport=polling", running.gateway());
            let (_, opened) = ask(http().get(&url)).await;
            let opened: Value = serde_json::from_str(&opened[1..]).unwrap();
            query = format!("&sid={}", opened["sid"].as_str().unwrap());
        }
        let mut raw = Raw::connect(&running).await;
        assert_eq!(raw.upgrade(&query).await, 101);
        if !query.is_empty() {
            let mut second = Raw::connect(&running).await;
            assert_eq!(second.upgrade(&query).await, 400);
        }
        sockets.push(raw);
    }
    // One is not silent, and says nothing either.
    let pings = tokio::spawn(async move {
        let mut raw = sockets.pop().unwrap();
        let mut second = sockets.pop().unwrap();
        let began = Instant::now();
        while second.frame(0x80 | PING, b"").await.is_ok() && began.elapsed().as_secs() < 30 {
            sleep(Duration::from_millis(500)).await;
        }
        raw.ends().await;
        second.ends().await;
        sockets.pop().unwrap().ends().await;
    });
    timeout(Duration::from_secs(20), pings)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_holds_little_and_holds_up_nobody() {
    let database = Database::new().await;
    let running = started(&database, "buffer_bytes_per_token = 8388608").await;
    let token = database.token("acme").await;
    let large = format!("{{\"large\": \"{}\"}}", "x".repeat(900_000));
    for _ in 0..60 {
        database.publish("acme", "t1", "2", &large).await;
    }
    let mut slow = Vec::new();
    let before = memory(&running);
    for at in 0..60 {
        match at % 3 {
            0 => slow.push(Raw::join(&running, &token, "start").await),
            1 => {
                let mut raw = Raw::connect(&running).await;
                raw.say(&format!(
                    "GET /v1/events?after=start HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\
                     Authorization: Bearer {token}\r\n\r\n"
                ))
                .await;
                slow.push(raw);
            }
            _ => {
                let mut raw = Raw::connect(&running).await;
                let request = format!(
                    "GET /v1/events?after=start&limit=500 HTTP/1.1\r\nHost: x\r\n\
                     Authorization: Bearer {token}\r\n\r\n"
                );
                // One after the other, and not an answer read.
                raw.say(&request.repeat(10)).await;
                slow.push(raw);
            }
        }
        sleep(Duration::from_millis(60)).await;
    }
    let held = memory(&running);
    println!("{before} MiB before, {held} MiB with 60 slow readers");
    // Sixty of them would hold sixty times 60 MiB; the memory of the newest events is beside.
    assert!(held < before + 160, "{before} MiB became {held} MiB");
    // Another token's client has its own room.
    let session = database.session("acme", "t2", "").await;
    let mut other = Raw::join(&running, &session, "now").await;
    database.publish("acme", "t2", "2", "{\"at\": 1}").await;
    assert_eq!(other.event().await["at"], 1);
    // And who takes what there is gets all of it.
    drop(slow.split_off(1));
    let first = &mut slow[0];
    for _ in 0..60 {
        assert!(first.event().await["large"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_cannot_ask_for_tokens_without_end() {
    let database = Database::new().await;
    let running = Setup::gateway(&database)
        .toml("[gateway]\nrate_per_address = 10")
        .start()
        .await;
    let mut raw = Raw::connect(&running).await;
    assert_eq!(raw.upgrade("").await, 101);
    for _ in 0..40 {
        raw.frame(0x80 | TEXT, b"40{\"token\":\"phs_guess\"}")
            .await
            .unwrap();
    }
    until(Duration::from_secs(10), "a refusal", async || {
        let refused = raw.text().await;
        refused.contains("too_many").then_some(())
    })
    .await;
}
