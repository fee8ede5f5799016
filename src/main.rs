//! The command `posthorn`.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A third of what a worker does is to allocate, free and copy (docs/PERFORMANCE.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    posthorn::cli::main().await
}
