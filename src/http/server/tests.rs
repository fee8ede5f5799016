use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

struct Running {
    address: SocketAddr,
    metrics: Metrics,
    health: Health,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

async fn start() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (metrics, health, stop) = (Metrics::new(), Health::new(), CancellationToken::new());
    let endpoint = Endpoint {
        metrics: metrics.clone(),
        health: health.clone(),
        stop: stop.clone(),
    };
    let served = tokio::spawn(endpoint.serve(listener));
    Running {
        address,
        metrics,
        health,
        stop,
        served,
    }
}

impl Running {
    /// The whole answer, head and body.
    async fn ask(&self, method: &str, path: &str) -> String {
        self.ask_for("*/*", method, path).await
    }

    async fn ask_for(&self, accept: &str, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn metrics_come_as_openmetrics_where_it_is_asked_for() {
    let running = start().await;
    running.metrics.events_read(42);
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
    let answer = running
        .ask_for(prometheus, "GET", "/metrics?name=value")
        .await;
    assert_eq!(status(&answer), "200");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(body(&answer).contains("\nposthorn_events_read_total 42\n"));
    assert!(body(&answer).ends_with("# EOF\n"));

    let answer = running.ask("GET", "/metrics").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
    assert!(
        body(&answer).contains(
            "\n# TYPE posthorn_events_read_total counter\nposthorn_events_read_total 42\n"
        )
    );
    assert!(!body(&answer).contains("# EOF"));
    let samples = body(&answer).lines().filter(|line| !line.starts_with('#'));
    for name in samples.filter_map(|line| line.split(['{', ' ']).next()) {
        let series = ["_bucket", "_count", "_sum"];
        let family = series
            .iter()
            .find_map(|it| name.strip_suffix(it))
            .unwrap_or(name);
        let said = |family: &str| body(&answer).contains(&format!("# HELP {family} "));
        assert!(said(family) || said(name), "{name} has a help text");
    }
}

#[tokio::test]
async fn readiness_follows_health_and_liveness_does_not() {
    let running = start().await;
    let answer = running.ask("GET", "/readyz").await;
    assert_eq!(status(&answer), "503");
    assert_eq!(
        body(&answer),
        "this worker owns no shard\nthe database does not answer\n"
    );
    assert_eq!(status(&running.ask("GET", "/healthz").await), "200");

    running.health.set_owns_shards(true);
    running.health.set_database(true);
    assert_eq!(status(&running.ask("GET", "/readyz").await), "200");

    running.health.set_database(false);
    let answer = running.ask("GET", "/readyz").await;
    assert_eq!(body(&answer), "the database does not answer\n");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let running = start().await;
    for (method, path, expected) in [
        ("GET", "/", "404"),
        ("GET", "/metrics/", "404"),
        ("POST", "/elsewhere", "404"),
        ("POST", "/metrics", "405"),
        ("DELETE", "/readyz", "405"),
        ("HEAD", "/healthz", "200"),
    ] {
        let answer = running.ask(method, path).await;
        assert_eq!(status(&answer), expected, "{method} {path}");
        assert_eq!(answer.contains("allow: GET, HEAD"), expected == "405");
        assert_eq!(body(&answer).is_empty(), method == "HEAD");
    }
}

#[tokio::test]
async fn silent_clients_shut_nobody_out() {
    let running = start().await;
    let mut silent = Vec::new();
    for _ in 0..2 * ACCEPTING.most {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"GET /healthz HTT").await.unwrap();
        silent.push(stream);
    }
    // Long before they are ended for their silence, and though they have the same address.
    let asked = tokio::time::timeout(HEAD_TIME / 4, running.ask("GET", "/healthz")).await;
    assert_eq!(status(&asked.unwrap()), "200");
}

#[tokio::test]
async fn a_stop_ends_it_also_while_connections_are_open() {
    let running = start().await;
    let mut kept = TcpStream::connect(running.address).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert_ne!(kept.read_u8().await.unwrap(), 0);
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    silent.write_all(b"GET /heal").await.unwrap();

    running.stop.cancel();
    running.served.await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}
