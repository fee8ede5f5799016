//! Socket.IO's stock clients come back when their connection breaks, and stay away when the
//! server takes its leave with a packet: `41`.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::http::http;
use crate::support::{Database, PATIENCE, Setup};

/// A WebSocket that has joined, with what it has heard so far.
struct Joined {
    stream: TcpStream,
    heard: String,
}

impl Joined {
    async fn by_websocket(gateway: &str, token: &str) -> Self {
        let host = gateway.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut joined = Self {
            stream,
            heard: String::new(),
        };
        joined.hears("\"sid\"").await;
        let join = format!("40{}", json!({ "token": token, "after": "now" }));
        // A text frame, masked with zeros.
        let length = u8::try_from(join.len()).unwrap();
        assert!(length < 126);
        let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
        frame.extend(join.as_bytes());
        joined.stream.write_all(&frame).await.unwrap();
        joined.hears("40{\"sid\"").await;
        joined
    }

    async fn read(&mut self) -> usize {
        let mut bytes = [0; 4096];
        let read = timeout(PATIENCE, self.stream.read(&mut bytes))
            .await
            .unwrap();
        let read = read.unwrap_or(0);
        self.heard
            .push_str(&String::from_utf8_lossy(&bytes[..read]));
        read
    }

    async fn hears(&mut self, text: &str) {
        while !self.heard.contains(text) {
            assert_ne!(self.read().await, 0, "{}", self.heard);
        }
    }

    /// Everything, to the end.
    async fn rest(mut self) -> String {
        while self.read().await > 0 {}
        self.heard
    }
}

/// A frame of the text `41` alone.
const LEAVE: &str = "\u{2}41";

#[tokio::test]
async fn a_gateway_that_stops_breaks_off_so_that_clients_come_back() {
    let database = Database::new().await;
    let token: String = database
        .value("SELECT posthorn.issue_token('acme', 'api')")
        .await;
    for with_worker in [false, true] {
        let mut running = if with_worker {
            Setup::new(&database).switch("--gateway").start().await
        } else {
            Setup::gateway(&database).start().await
        };
        let gateway = running.gateway();
        let mut joined = Joined::by_websocket(&gateway, &token).await;
        database
            .publish("acme", "t1", "approved", "{\"at\": 1}")
            .await;
        joined.hears("42[\"message\"").await;
        running.signal("TERM");
        let heard = joined.rest().await;
        assert!(!heard.contains(LEAVE), "{heard}");
        assert!(running.ended().await.success());
    }
}

#[tokio::test]
async fn a_client_that_polls_is_told_of_a_break_too() {
    let database = Database::new().await;
    let token: String = database
        .value("SELECT posthorn.issue_token('acme', 'api')")
        .await;
    let mut running = Setup::gateway(&database).start().await;
    let http = http();
    let url = format!("{}/socket.io/?EIO=4&transport=polling", running.gateway());
    let opened = http.get(&url).send().await.unwrap().text().await.unwrap();
    let opened: Value = serde_json::from_str(opened.strip_prefix('0').unwrap()).unwrap();
    let url = format!("{url}&sid={}", opened["sid"].as_str().unwrap());
    let join = format!("40{}", json!({ "token": token, "after": "now" }));
    http.post(&url).body(join).send().await.unwrap();
    let poll = async move || loop {
        let response = http.get(&url).send().await?;
        let status = response.status();
        let text = response.text().await?;
        // Pings come between.
        if status != 200 || text.starts_with("40{") {
            return Ok::<_, reqwest::Error>(status);
        }
    };
    assert_eq!(poll().await.unwrap(), 200, "it has joined");
    let waiting = tokio::spawn(async move { poll().await });
    // The poll waits once the gateway counts the socket, and it is sent before that is asked for.
    crate::support::until(PATIENCE, "the socket", async || {
        (running
            .metric("posthorn_gateway_open{transport=\"socket\"}")
            .await
            >= 1.0)
            .then_some(())
    })
    .await;
    running.signal("TERM");
    // An error is what makes a client open another session.
    match waiting.await.unwrap() {
        Ok(status) => assert_eq!(status, 503),
        Err(error) => assert!(!error.is_timeout(), "{error}"),
    }
    assert!(running.ended().await.success());
}
