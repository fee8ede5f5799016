//! A worker process, started from the binary with a configuration file as a user does.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use toml::{Table, Value};

use super::database::Database;
use super::{PATIENCE, until};

/// What every test's worker is told; a test's own lines win key by key. The lease is one
/// that a machine under load can renew.
const BASE: &str = r#"
    [database]
    max_connections = 5
    [worker]
    lease = "10s"
    grace = "5s"
    [lanes]
    spill_after = "200ms"
    [egress]
    allow = ["127.0.0.0/8"]
    [http]
    listen = "127.0.0.1:0"
    [gateway]
    listen = "127.0.0.1:0"
    health_listen = "127.0.0.1:0"
"#;

/// For tests in which a worker goes without handing its shards over, and another one is
/// waited for.
pub const SHORT_LEASE: &str = "worker.lease = '2s'";

/// Runs a command of the binary: its exit status, and what it said on either output.
pub async fn posthorn(arguments: &[&str]) -> (ExitStatus, String) {
    posthorn_fed(arguments, "").await
}

/// The same with something on its standard input.
pub async fn posthorn_fed(arguments: &[&str], input: &str) -> (ExitStatus, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_posthorn"))
        .args(arguments)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not read may have closed it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8(said).unwrap())
}

/// A worker that is about to start, or a gateway.
pub struct Setup {
    command: &'static str,
    switches: Vec<&'static str>,
    config: Table,
    variables: Vec<(OsString, OsString)>,
}

impl Setup {
    pub fn new(database: &Database) -> Self {
        Self::with_url(&database.url)
    }

    pub fn with_url(url: &str) -> Self {
        let mut config: Table = BASE.parse().unwrap();
        merge(
            &mut config,
            format!("[database]\nurl = '{url}'").parse().unwrap(),
        );
        Self {
            command: "worker",
            switches: vec![],
            config,
            variables: vec![],
        }
    }

    /// A gateway for the database, in a process of its own.
    pub fn gateway(database: &Database) -> Self {
        Self {
            command: "gateway",
            ..Self::new(database)
        }
    }

    /// A further argument of the command.
    pub fn switch(mut self, switch: &'static str) -> Self {
        self.switches.push(switch);
        self
    }

    /// Lines of the configuration.
    pub fn toml(mut self, lines: &str) -> Self {
        merge(&mut self.config, lines.parse().unwrap());
        self
    }

    /// An environment variable of the process.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Starts the worker and waits until it is ready.
    pub async fn start(self) -> Worker {
        let worker = self.launch().await;
        until(PATIENCE, "a worker that is ready", async || {
            (worker.ready().await == 200).then_some(())
        })
        .await;
        worker
    }

    /// Starts the worker and waits until it answers for its health.
    pub async fn launch(self) -> Worker {
        let mut worker = self.spawn();
        let address = until(PATIENCE, "a worker that listens", async || {
            if let Some(status) = worker.child.try_wait().unwrap() {
                panic!("the worker ended, {status}:\n{}", worker.log());
            }
            let log = worker.log();
            let rest = log.split_once("metrics and health address=")?.1;
            rest.split_once('\n')?.0.trim().parse().ok()
        })
        .await;
        worker.address = Some(address);
        worker
    }

    /// Starts a worker that is to end by itself: its exit status and what it said.
    pub async fn refused(self) -> (ExitStatus, String) {
        let mut worker = self.spawn();
        let status = worker.ended().await;
        (status, worker.log())
    }

    /// Starts the worker and waits for nothing.
    pub fn spawn(self) -> Worker {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, self.config.to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_posthorn"))
            .args([self.command, "--config"])
            .arg(&path)
            .args(self.switches)
            .env_remove("RUST_LOG")
            .envs(self.variables)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let read = tokio::spawn({
            let log = Arc::clone(&log);
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    let mut log = log.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        Worker {
            child,
            address: None,
            log,
            read,
            path,
            config: self.config,
            _directory: directory,
        }
    }
}

/// A running worker; killed when it is dropped.
pub struct Worker {
    child: Child,
    address: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
    read: tokio::task::JoinHandle<()>,
    path: PathBuf,
    config: Table,
    _directory: TempDir,
}

impl Worker {
    /// With further lines of configuration; ready when this returns.
    pub async fn start(database: &Database, toml: &str) -> Self {
        Setup::new(database).toml(toml).start().await
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn address(&self) -> SocketAddr {
        self.address.expect("it listens")
    }

    /// Where its gateway answers: `http://127.0.0.1:PORT`.
    pub fn gateway(&self) -> String {
        let log = self.log();
        let said = log.split_once("gateway address=").expect("it has one").1;
        format!("http://{}", said.split('\n').next().unwrap().trim())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has logged a text.
    pub async fn logs(&self, text: &str) {
        until(PATIENCE, text, async || {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// Makes these the lines of its configuration beside those that every test has.
    /// SIGHUP makes it look.
    pub fn rewrite(&self, toml: &str) {
        let mut config: Table = BASE.parse().unwrap();
        config["database"] = self.config["database"].clone();
        merge(&mut config, toml.parse().unwrap());
        std::fs::write(&self.path, config.to_string()).unwrap();
    }

    /// Makes the text, whatever it is, its configuration file.
    pub fn overwrite(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    pub fn sighup(&self) {
        self.signal("HUP");
    }

    /// Ends it in order.
    pub async fn sigterm(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    pub async fn kill9(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended and its log is whole.
    pub async fn ended(&mut self) -> ExitStatus {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            panic!("the worker does not end:\n{}", self.log());
        };
        (&mut self.read).await.unwrap();
        status.unwrap()
    }

    /// Status and body of its answer to a GET.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// The status of its readiness: 200 or 503.
    pub async fn ready(&self) -> u16 {
        self.get("/readyz").await.0
    }

    pub async fn metrics(&self) -> String {
        self.get("/metrics").await.1
    }

    /// The value of a series, named as it stands in the metrics, its labels included.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let Some(value) = value else {
            panic!("no {series} in\n{metrics}");
        };
        value.parse().unwrap()
    }
}

/// Tables are merged; any other value takes the old one's place.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
