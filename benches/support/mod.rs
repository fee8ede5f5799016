//! What the benches stand on: the processes around the worker, what is published, and the
//! rows that they print.
//!
//! Publisher, worker, receiver and database are processes of their own, so that what each
//! of them costs is known, and all of them end with the bench.

#![allow(
    dead_code,
    clippy::cast_precision_loss,
    reason = "each bench takes what it needs of it, and counts of a run are far below 2^52"
)]

pub mod answers;
pub mod authority;
pub mod client;
pub mod clock;
pub mod committed;
pub mod data;
pub mod figures;
pub mod history;
pub mod latency;
pub mod past;
pub mod process;
pub mod publisher;
pub mod receiver;
pub mod stand;
pub mod table;
pub mod usage;
pub mod worker;

use std::io::Write;

use anyhow::bail;
use clap::Parser;
use clap::builder::BoolishValueParser;
use posthorn::cli::signals::end_requested;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use figures::{Figures, Row};
use past::Past;

#[derive(Debug, Parser)]
struct Command<A: clap::Args> {
    #[command(subcommand)]
    role: Option<Role>,

    #[command(flatten)]
    own: A,

    /// The full sizes and times, which take minutes
    #[arg(long, env = "POSTHORN_FULL", value_parser = BoolishValueParser::new())]
    full: bool,

    /// End with one line of JSON
    #[arg(long)]
    json: bool,

    /// Given by `cargo bench`, and not by `cargo test`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the bench runs as, in processes beside it.
#[derive(Clone, Debug, clap::Subcommand)]
enum Role {
    #[command(hide = true)]
    Client(client::Args),
    #[command(hide = true)]
    Publish(publisher::Args),
    #[command(hide = true)]
    Receive(receiver::Args),
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// `cargo test --benches`: whether it starts and ends; the figures say nothing.
    Smoke,
    Usual,
    /// `--full`
    Full,
}

impl Size {
    pub fn of<T>(self, smoke: T, usual: T, full: T) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Usual => usual,
            Self::Full => full,
        }
    }

    /// The past of a stand, unless the bench is about that.
    pub fn past(self) -> Past {
        Past::kept_by_default(self.rows_of_a_day())
    }

    /// Rows that each table has of a day that is past.
    pub fn rows_of_a_day(self) -> u32 {
        self.of(10, 1000, 1000)
    }
}

/// Of a bench without options of its own.
#[derive(Debug, clap::Args)]
pub struct NoOptions {}

/// The whole of a bench: its arguments, its roles, its rows on standard output.
pub fn main<A: clap::Args>(
    name: &str,
    measure: impl AsyncFnOnce(A, Size) -> anyhow::Result<Vec<Row>>,
) -> anyhow::Result<()> {
    let command = Command::<A>::parse();
    let runtime = match &command.role {
        // To wake another thread would cost it more than the answer.
        Some(Role::Receive(args)) if args.is_light() => {
            Builder::new_current_thread().enable_all().build()?
        }
        _ => Runtime::new()?,
    };
    runtime.block_on(run(name, command, measure))
}

async fn run<A: clap::Args>(
    name: &str,
    command: Command<A>,
    measure: impl AsyncFnOnce(A, Size) -> anyhow::Result<Vec<Row>>,
) -> anyhow::Result<()> {
    match command.role {
        Some(Role::Client(args)) => return or_end(client::run(args)).await,
        Some(Role::Publish(args)) => return or_end(publisher::run(args)).await,
        // Ends by a signal as it should.
        Some(Role::Receive(args)) => return receiver::run(args).await,
        None => {}
    }
    let size = match (command.bench, command.full) {
        (false, _) => Size::Smoke,
        (true, false) => Size::Usual,
        (true, true) => Size::Full,
    };
    let rows = or_end(measure(command.own, size)).await?;
    let figures = Figures {
        bench: name.to_owned(),
        size,
        rows,
    };
    let mut stdout = std::io::stdout().lock();
    if command.json {
        writeln!(stdout, "{}", serde_json::to_string(&figures)?)?;
    } else {
        writeln!(stdout, "{figures}")?;
    }
    figures.keep()
}

/// Runs until the end unless Ctrl-C or SIGTERM comes first. Either way everything that is
/// held is dropped, and with it every process that was started.
async fn or_end<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let end = end_requested()?;
    tokio::select! {
        result = work => result,
        () = end => bail!("interrupted"),
    }
}
