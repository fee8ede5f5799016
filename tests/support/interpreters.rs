//! Python and Node.js for what the tests run in them, with the packages that it needs.

use std::path::Path;
use std::process::Command as Blocking;
use std::sync::OnceLock;

use tokio::process::Command;

/// The languages that clients and examples are written in.
#[derive(Clone, Copy, Debug)]
pub enum Language {
    Python,
    JavaScript,
}

/// An interpreter with the packages of `.ci/python.txt` or `.ci/node`, which are installed first.
pub fn interpreter(language: Language) -> Command {
    static PYTHON: OnceLock<()> = OnceLock::new();
    static NODE: OnceLock<()> = OnceLock::new();
    match language {
        Language::Python => {
            PYTHON.get_or_init(|| install(".ci/python"));
            let mut command = Command::new(root().join("target/tools/python/bin/python"));
            command.env("PYTHONUNBUFFERED", "1");
            command
        }
        Language::JavaScript => {
            NODE.get_or_init(|| install(".ci/clients"));
            let mut command = Command::new("node");
            command.env("NODE_PATH", root().join("target/tools/node/node_modules"));
            command
        }
    }
}

/// The repository's directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn install(script: &str) {
    let installed = Blocking::new(root().join(script)).output().unwrap();
    let said = String::from_utf8_lossy(&installed.stderr);
    assert!(installed.status.success(), "{said}");
}
