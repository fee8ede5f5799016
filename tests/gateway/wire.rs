//! Sockets without a client's library, for what none would send.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::{PATIENCE, Worker};

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const PING: u8 = 9;

/// A connection to the gateway.
pub struct Raw {
    pub stream: TcpStream,
    read: Vec<u8>,
}

pub fn address(running: &Worker) -> SocketAddr {
    let gateway = running.gateway();
    gateway.trim_start_matches("http://").parse().unwrap()
}

impl Raw {
    pub async fn connect(running: &Worker) -> Self {
        Self::from("127.0.0.1", running).await
    }

    /// From another of the loopback's addresses.
    pub async fn from(source: &str, running: &Worker) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // So that a client which reads nothing is one soon.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        Self {
            stream: socket.connect(address(running)).await.unwrap(),
            read: Vec::new(),
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The status and the body of the next answer, which has a length.
    pub async fn answer(&mut self) -> (u16, String) {
        let head = self.head().await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse().unwrap())
        });
        let body = self.take(length.unwrap_or(0)).await;
        (status, String::from_utf8(body).unwrap())
    }

    async fn head(&mut self) -> String {
        loop {
            let end = self.read.windows(4).position(|end| end == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.take(end + 4).await;
                return String::from_utf8(head).unwrap();
            }
            assert!(self.fill().await, "no answer");
        }
    }

    async fn take(&mut self, bytes: usize) -> Vec<u8> {
        while self.read.len() < bytes {
            assert!(self.fill().await, "an answer that breaks off");
        }
        self.read.drain(..bytes).collect()
    }

    /// False: the connection has ended.
    async fn fill(&mut self) -> bool {
        let mut buffer = vec![0; 16 * 1024];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let read = read.expect("it says something in time").unwrap_or(0);
        self.read.extend(&buffer[..read]);
        read > 0
    }

    /// Reads until the gateway ends the connection.
    pub async fn ends(&mut self) {
        while self.fill().await {}
    }

    /// Whether the gateway ends the connection in this time.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        timeout(time, self.ends()).await.is_ok()
    }

    /// Opens a WebSocket.
    pub async fn upgrade(&mut self, query: &str) -> u16 {
        self.say(&format!(
            "GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nHost: x\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        ))
        .await;
        let head = self.head().await;
        assert!(!head.contains("permessage-deflate"), "{head}");
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// A WebSocket that is open, and joined with a token.
    pub async fn join(running: &Worker, token: &str, after: &str) -> Self {
        let mut raw = Self::connect(running).await;
        assert_eq!(raw.upgrade("").await, 101);
        assert!(raw.text().await.starts_with("0{"));
        let auth = json!({ "token": token, "after": after });
        let connects = format!("40{auth}");
        raw.frame(0x80 | TEXT, connects.as_bytes()).await.unwrap();
        // A ping may come first.
        while !raw.text().await.starts_with("40{") {}
        raw
    }

    /// Sends a frame; the first byte has the opcode, and `0x80` where it is a message's last.
    pub async fn frame(&mut self, first: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut bytes = head(first, payload.len());
        bytes.extend(payload);
        self.stream.write_all(&bytes).await
    }

    /// The next text that the gateway sends.
    pub async fn text(&mut self) -> String {
        loop {
            let head = self.take(2).await;
            let length = match head[1] {
                126 => usize::from(u16::from_be_bytes(self.take(2).await.try_into().unwrap())),
                127 => {
                    let length = u64::from_be_bytes(self.take(8).await.try_into().unwrap());
                    usize::try_from(length).unwrap()
                }
                length => length.into(),
            };
            let payload = self.take(length).await;
            if head[0] & 0x0f == TEXT {
                return String::from_utf8(payload).unwrap();
            }
        }
    }

    /// The next event's data.
    pub async fn event(&mut self) -> Value {
        loop {
            if let Some(event) = self.text().await.strip_prefix("42") {
                let event: Value = serde_json::from_str(event).unwrap();
                return event[1].clone();
            }
        }
    }
}

/// A client's frame up to its payload, under a mask of zeros.
pub fn head(first: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    if let Ok(short @ ..126) = u8::try_from(length) {
        bytes.push(0x80 | short);
    } else if let Ok(length) = u16::try_from(length) {
        bytes.push(0x80 | 0x7e);
        bytes.extend(length.to_be_bytes());
    } else {
        bytes.push(0x80 | 0x7f);
        bytes.extend((length as u64).to_be_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

/// Resident MiB of the gateway's process.
pub fn memory(running: &Worker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}
