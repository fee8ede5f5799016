//! The command `posthorn`.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    posthorn::cli::main().await
}
