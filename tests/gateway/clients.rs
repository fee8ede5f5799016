//! Clients that no one here wrote, each in a process of its own: scripts that say what they
//! see as lines of JSON, and are told what to do in the same way.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::interpreters::{Language, interpreter, root};

/// A running script; killed when it is dropped.
pub struct Client {
    _process: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// Starts a script of `tests/gateway/clients`.
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let language = match Path::new(script).extension() {
            Some(extension) if extension == "py" => Language::Python,
            _ => Language::JavaScript,
        };
        let mut command = interpreter(language);
        command
            .arg(root().join("tests/gateway/clients").join(script))
            .args(arguments);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            input: process.stdin.take().unwrap(),
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            _process: process,
        }
    }

    pub async fn tell(&mut self, what: &Value) {
        let line = format!("{what}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
    }

    /// The next thing that it says; none when it has ended.
    pub async fn line(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("it says something in time").unwrap()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")))
    }

    /// The next thing of this name that it says, whatever else it says before.
    pub async fn hears(&mut self, name: &str) -> Value {
        loop {
            let mut line = self.line().await.expect("it still runs");
            if let Some(value) = line.get_mut(name) {
                return value.take();
            }
        }
    }
}

/// Chrome, or Chromium by Debian's name and others'.
pub fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["google-chrome", "chromium", "chromium-browser"];
    let found = std::env::split_paths(&path)
        .flat_map(|directory| names.map(|name| directory.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: there is no Chromium here; .ci/setup --tests installs it where it can");
    }
    found
}
