//! The clients' process: it opens its sockets and long-polls, says so, and says of each event
//! when it came.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::clock::now_us;
use crate::process::Process;
use crate::stand::Stand;

/// Connections that are being opened at a time.
const OPENING: usize = 100;

/// What its first line says.
const OPEN: &str = "open";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    address: SocketAddr,
    /// A token a line: the first half for sockets, the others for long-polls
    tokens: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Socket,
    Poll,
}

#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub kind: Kind,
    pub number: u64,
    pub at_us: u64,
}

/// The process, for the one that started it.
pub struct Clients(Process);

impl Clients {
    /// Returns once all of them wait.
    pub async fn start(
        stand: &Stand,
        address: &SocketAddr,
        clients: usize,
    ) -> anyhow::Result<Self> {
        let path = stand.directory.path().join("tokens");
        fs::write(&path, stand.tokens.join("\n"))?;
        let mut command = Process::this_bench()?;
        command.arg("clients").arg(address.to_string()).arg(path);
        let mut process = Process::start(&mut command)?;
        let first = process.next_line().await?;
        ensure!(
            first.as_deref() == Some(OPEN),
            "{clients} clients of each kind cannot be opened"
        );
        // The last long-polls are on their way.
        sleep(Duration::from_secs(2)).await;
        Ok(Self(process))
    }

    pub async fn arrival(&mut self) -> anyhow::Result<Arrival> {
        let line = self
            .0
            .next_line()
            .await?
            .context("the clients have ended")?;
        let mut words = line.split(' ');
        let kind = match words.next() {
            Some("socket") => Kind::Socket,
            Some("poll") => Kind::Poll,
            _ => bail!("the clients say {line}"),
        };
        let mut number = || words.next()?.parse().ok();
        let arrival = number().zip(number());
        let (number, at_us) = arrival.with_context(|| format!("the clients say {line}"))?;
        Ok(Arrival {
            kind,
            number,
            at_us,
        })
    }
}

pub async fn run(args: &Args) -> anyhow::Result<()> {
    let tokens = fs::read_to_string(&args.tokens)?;
    let tokens: Vec<String> = tokens.lines().map(str::to_owned).collect();
    rlimit::increase_nofile_limit(tokens.len() as u64 + 256)?;
    let opening = Arc::new(Semaphore::new(OPENING));
    let (opened, mut all_open) = mpsc::channel::<()>(1);
    let half = tokens.len() / 2;
    for (at, token) in tokens.into_iter().enumerate() {
        let turn = Arc::clone(&opening).acquire_owned().await?;
        let (address, opened) = (args.address, opened.clone());
        tokio::spawn(async move {
            let ready = move || drop((turn, opened));
            let ended = if at < half {
                socket(address, &token, ready).await
            } else {
                poll(address, &token, ready).await
            };
            if let Err(error) = ended {
                eprintln!("a client ended: {error:#}");
            }
        });
    }
    drop(opened);
    all_open.recv().await;
    println!("{OPEN}");
    std::future::pending().await
}

/// Socket.IO over a WebSocket: Engine.IO packet 0 opens, 40 joins, 42 is an event, 2 a ping.
async fn socket(address: SocketAddr, token: &str, ready: impl FnOnce()) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = client_async(url, stream).await?;
    let mut ready = Some(ready);
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else {
            continue;
        };
        let text = text.as_str();
        if let Some(event) = text.strip_prefix("42") {
            let event: Value = serde_json::from_str(event)?;
            say("socket", &event[1]);
        } else if text.starts_with("40") {
            if let Some(ready) = ready.take() {
                ready();
            }
        } else if text.starts_with('0') {
            let join = format!("40{}", json!({ "token": token }));
            socket.send(Message::text(join)).await?;
        } else if text == "2" {
            socket.send(Message::text("3")).await?;
        } else {
            bail!("refused: {text}");
        }
    }
    bail!("the gateway closed a socket")
}

/// A long-poll after the other, on one connection.
async fn poll(address: SocketAddr, token: &str, ready: impl FnOnce()) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut ready = Some(ready);
    let mut query = "after=now".to_owned();
    loop {
        let request = Request::get(format!("/v1/session/events?{query}"))
            .header(header::HOST, address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Empty::<Bytes>::new())?;
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        ensure!(answer.status() == 200, "refused: {}", answer.status());
        let body = answer.into_body().collect().await?.to_bytes();
        let page: Value = serde_json::from_slice(&body)?;
        for event in page["events"].as_array().into_iter().flatten() {
            say("poll", &event["data"]);
        }
        // The first one, which does not wait, tells from where on.
        if let Some(ready) = ready.take() {
            ready();
        }
        let cursor = page["cursor"].as_str().context("no cursor")?;
        query = format!("wait=60s&after={cursor}");
    }
}

fn say(kind: &str, data: &Value) {
    if let Some(number) = data["number"].as_u64() {
        println!("{kind} {number} {}", now_us());
    }
}
