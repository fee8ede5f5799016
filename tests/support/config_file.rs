//! A configuration file that `posthorn config` is called with.

use std::path::PathBuf;
use std::process::ExitStatus;

use super::{Database, posthorn};

/// A place for the file, and the database that the commands are told.
pub struct ConfigFile {
    directory: tempfile::TempDir,
    url: String,
}

impl ConfigFile {
    pub fn new(database: &Database) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            url: database.url.clone(),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("posthorn.toml")
    }

    /// Runs `posthorn config` with the file made of `toml`; `check` needs no database.
    pub async fn run(&self, toml: &str, command: &str, more: &[&str]) -> (ExitStatus, String) {
        std::fs::write(self.path(), toml).unwrap();
        let path = self.path();
        let mut arguments = vec!["config", command, path.to_str().unwrap()];
        if command != "check" {
            arguments.extend(["--database-url", &self.url]);
        }
        arguments.extend(more);
        posthorn(&arguments).await
    }

    pub async fn apply(&self, toml: &str, more: &[&str]) -> String {
        self.says(toml, "apply", more).await
    }

    /// What `config apply` says when it refuses.
    pub async fn refuses(&self, toml: &str, more: &[&str]) -> String {
        let (status, said) = self.run(toml, "apply", more).await;
        assert_eq!(status.code(), Some(1), "{said}");
        said
    }

    /// What the command says, which does not refuse.
    pub async fn says(&self, toml: &str, command: &str, more: &[&str]) -> String {
        let (status, said) = self.run(toml, command, more).await;
        assert!(status.success(), "{said}");
        said
    }
}
