//! What both benches stand on: the processes around the worker, and what is published.
//!
//! Publisher, worker, receiver and database are processes of their own, so that what each
//! of them costs is known, and all of them end with the bench.

pub mod data;
pub mod process;
pub mod stand;

use anyhow::bail;
use posthorn::cli::signals::end_requested;

/// Runs the bench unless Ctrl-C or SIGTERM comes first. Either way everything that it
/// holds is dropped, and with it every process that it started.
pub async fn run<T>(bench: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let end = end_requested()?;
    tokio::select! {
        result = bench => result,
        () = end => bail!("interrupted"),
    }
}
