//! The receiver, in a process of its own: over HTTP it answers as it is told and writes down
//! when each event arrived; over TLS it answers whoever has a certificate.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use posthorn::cli::signals::end_requested;
use tokio::net::TcpListener;

use super::answers::{self, Manners};
use super::authority;
use super::process::Process;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How long each answer takes, in milliseconds
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Gives no answer at this path and below it
    #[arg(long)]
    hang: Option<String>,
    /// Write down when each event arrived
    #[arg(long)]
    keep: bool,
    /// The directory of an authority's files: over TLS, and nothing is kept
    #[arg(long)]
    tls: Option<PathBuf>,
}

impl Args {
    /// Whether an answer costs so little that one thread has time for all of them.
    pub fn is_light(&self) -> bool {
        self.tls.is_none()
    }
}

/// When each event arrived for the first time, by its number, in microseconds of the clock.
pub type Arrivals = HashMap<usize, u64>;

pub struct ReceiverProcess {
    pub process: Process,
    /// Without a slash at its end.
    pub url: String,
}

impl ReceiverProcess {
    /// With arguments of the role.
    pub async fn start(args: &[&str]) -> anyhow::Result<Self> {
        let mut command = Process::this_bench()?;
        command.arg("receive").args(args);
        let mut process = Process::start(&mut command)?;
        let url = process.next_line().await?;
        let url = url.context("the receiver does not say where it listens")?;
        Ok(Self { process, url })
    }

    /// What had arrived, once nothing more is to come.
    pub async fn stop(mut self) -> anyhow::Result<Arrivals> {
        self.process.ask_to_end().await?;
        let mut arrivals = Arrivals::new();
        while let Some(line) = self.process.next_line().await? {
            let (number, arrived) = serde_json::from_str(&line)?;
            arrivals.entry(number).or_insert(arrived);
        }
        self.process.ended().await?;
        Ok(arrivals)
    }
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let end = end_requested()?;
    if let Some(directory) = args.tls {
        let (address, serving) = authority::serve(&directory).await?;
        println!("https://{address}");
        tokio::select! {
            () = end => {}
            () = serving => {}
        }
        return Ok(());
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    let manners = Arc::new(Manners {
        delay: Duration::from_millis(args.delay),
        hang: args.hang,
        keep: args.keep,
        ..Manners::default()
    });
    tokio::select! {
        () = end => {}
        () = answers::serve(listener, Arc::clone(&manners)) => {}
    }
    let arrivals = manners.arrivals.lock();
    let mut stdout = std::io::stdout().lock();
    for arrival in arrivals.unwrap_or_else(PoisonError::into_inner).iter() {
        writeln!(stdout, "{}", serde_json::to_string(arrival)?)?;
    }
    Ok(())
}
