//! The command `posthorn`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    posthorn::cli::main().await
}
