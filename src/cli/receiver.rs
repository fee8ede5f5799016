//! `posthorn receiver`: see what arrives, and answer as a merchant's endpoint might.

mod print;

use std::io::{self, Write};
use std::net::SocketAddr;

use anyhow::Context;

use super::signals::end_requested;
use crate::receiver::{Behaviour, Receiver, Rule};

/// Starts an HTTP server that prints the requests it gets and answers them as it is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
BEHAVIOUR is a reply and its settings, divided by commas:

  REPLY               a status from 200 to 599, `hang` (never answers) or `drop`
                      (reads the request, then closes the connection)
  delay=DURATION      waits before it replies: 500ms, 2s, 1m
  body=TEXT           the body of the answer
  header=NAME:VALUE   a header of the answer; may be repeated
  reason=TEXT         the reason phrase beside the status
  times=N,then=REPLY  replies so N times, then goes on with another reply, which has
                      settings of its own

A comma inside a value is written `\\,`. PATH stands for itself and for what is below it;
the longest one wins. Every other path answers 200 with an empty body.

Examples:
  posthorn receiver --on /fails=503 --on /slow=200,delay=2s --on /hang=hang
  posthorn receiver --on '/busy=429,header=Retry-After:5,times=3,then=200'
  posthorn receiver --on /text=200,body=RECEIVED --on /flaky=drop,times=2,then=204")]
pub struct Args {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// How to answer a path; may be repeated
    #[arg(long = "on", value_name = "PATH=BEHAVIOUR")]
    pub rules: Vec<Rule>,

    /// Print each request: time, method, path, headers and body (the default)
    #[arg(long, conflicts_with = "quiet")]
    pub print: bool,

    /// Only count the requests
    #[arg(long)]
    pub quiet: bool,
}

/// Runs until Ctrl-C or SIGTERM, and then prints what was counted.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let end = end_requested()?;
    let receiver = Receiver::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    for rule in args.rules {
        receiver.on(&rule.path, Behaviour::of(rule.steps));
    }
    say(&format!("listening on {}\n", receiver.url("")))?;
    if args.quiet {
        end.await;
    } else {
        let mut requests = receiver.watch();
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                Some(request) = requests.recv() => say(&print::request(&request, &now()))?,
            }
        }
    }
    say(&print::summary(&receiver.endpoints()))
}

/// Prints, and is the one place that does: a closed stdout ends the command instead of panicking.
fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person reads this machine's time; nothing is decided by it"
)]
fn now() -> chrono::DateTime<chrono::Local> {
    chrono::Utc::now().into()
}
