//! The receiver, in a process of its own: over HTTP it answers as it is told and writes down
//! when each event arrived; over TLS it answers whoever has a certificate.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use posthorn::cli::signals::end_requested;
use posthorn::receiver::{Behaviour, Received, Receiver, Rule};
use serde::Deserialize;

use super::authority;
use super::clock;
use super::process::Process;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long = "on")]
    rules: Vec<Rule>,
    /// Write down when each event arrived
    #[arg(long)]
    keep: bool,
    /// The directory of an authority's files: over TLS, and nothing is kept
    #[arg(long)]
    tls: Option<PathBuf>,
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
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into()).await?;
    for rule in args.rules {
        receiver.on(&rule.path, Behaviour::of(rule.steps));
    }
    println!("{}", receiver.url(""));
    if !args.keep {
        end.await;
        return Ok(());
    }
    let mut requests = receiver.watch();
    let mut arrivals = vec![];
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(request) = requests.recv() => arrivals.extend(arrival(&request)),
        }
    }
    let mut stdout = std::io::stdout().lock();
    for arrival in arrivals {
        writeln!(stdout, "{}", serde_json::to_string(&arrival)?)?;
    }
    Ok(())
}

/// None of a request that carries no number.
fn arrival(request: &Arc<Received>) -> Option<(usize, u64)> {
    #[derive(Deserialize)]
    struct Data<'a> {
        number: &'a str,
    }
    let data: Data = serde_json::from_slice(&request.body).ok()?;
    Some((data.number.parse().ok()?, clock::us_at(request.arrived)))
}
