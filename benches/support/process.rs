//! Child processes that end with the bench.

use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A child whose standard output is read line by line. Killed when it is dropped.
pub struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", command.as_std().get_program().display()))?;
        let stdout = child.stdout.take().context("no pipe from the child")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// The command `posthorn` that is measured: the published build, which `make bench` names, or
    /// that of this bench.
    pub fn posthorn() -> Command {
        let published = std::env::var_os("POSTHORN_BENCHED");
        Command::new(published.unwrap_or_else(|| env!("CARGO_BIN_EXE_posthorn").into()))
    }

    /// The bench itself, for one of its roles.
    pub fn this_bench() -> anyhow::Result<Command> {
        Ok(Command::new(std::env::current_exe()?))
    }

    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the child has ended already")
    }

    /// None when the child has closed its output.
    pub async fn next_line(&mut self) -> anyhow::Result<Option<String>> {
        Ok(self.lines.next_line().await?)
    }

    /// Waits for a child that ends by itself.
    pub async fn ended(mut self) -> anyhow::Result<()> {
        let status = self.child.wait().await?;
        ensure!(status.success(), "a process of the bench failed: {status}");
        Ok(())
    }

    /// Asks it to end in order, with SIGTERM, and waits until it has.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.ask_to_end().await?;
        self.ended().await
    }

    pub async fn ask_to_end(&self) -> anyhow::Result<()> {
        let kill = format!("kill -TERM {}", self.pid()?);
        let asked = Command::new("/bin/sh").args(["-c", &kill]).status().await?;
        ensure!(asked.success(), "cannot stop a process of the bench");
        Ok(())
    }
}
