//! A Python process that reads messages back: see `oracle.py`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

/// It ends with this process, when its input does.
static ORACLE: OnceLock<Mutex<Oracle>> = OnceLock::new();

struct Oracle {
    _process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What Python finds: none where it agrees.
pub fn ask(question: &Value) -> Option<String> {
    let oracle = ORACLE.get_or_init(|| Mutex::new(Oracle::start()));
    // A check that failed elsewhere has read its answer all the same.
    let mut oracle = oracle.lock().unwrap_or_else(PoisonError::into_inner);
    oracle.ask(question)
}

/// Fails the test unless Python agrees.
pub fn agree(question: &Value) {
    if let Some(difference) = ask(question) {
        panic!("{difference}\n{question}");
    }
}

impl Oracle {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = Command::new(root.join(".ci/python")).output().unwrap();
        assert!(
            installed.status.success(),
            "{}",
            String::from_utf8_lossy(&installed.stderr)
        );
        let mut process = Command::new(root.join("target/tools/python/bin/python"))
            .arg(root.join("src/shape/tests/oracle.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            questions: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            _process: process,
        }
    }

    fn ask(&mut self, question: &Value) -> Option<String> {
        writeln!(self.questions, "{question}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }
}
