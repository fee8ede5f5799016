//! The commands, one file each.

mod audit;
mod config;
mod database;
mod deliveries;
mod demo;
mod event;
mod evidence;
mod exchange;
mod failure;
mod gateway;
mod grant;
mod json;
mod logs;
mod migrate;
mod moment;
mod named;
pub mod panics;
mod printable;
mod receiver;
mod render;
mod replay;
mod request;
mod sandbox;
mod secrets;
mod send_test;
pub mod signals;
mod source;
mod status;
mod table;
mod token;
mod worker;

use std::process::{ExitCode, Termination};

use clap::Parser;

/// Posthorn tells each merchant's systems about every committed status change.
#[derive(Debug, Parser)]
#[command(name = "posthorn", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The commands. The help text of each is that of what it holds.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Worker(worker::Args),
    Status(status::Args),
    Deliveries(deliveries::Args),
    Replay(replay::Args),
    Gateway(gateway::Args),
    #[command(subcommand)]
    Config(config::Command),
    Render(render::Args),
    SendTest(send_test::Args),
    Audit(audit::Args),
    Evidence(evidence::Args),
    Migrate(migrate::Args),
    Grant(grant::Args),
    #[command(subcommand)]
    Secrets(secrets::Command),
    #[command(subcommand)]
    Source(source::Command),
    #[command(subcommand)]
    Token(token::Command),
    Receiver(receiver::Args),
    Demo(demo::Args),
    Sandbox(sandbox::Args),
}

impl Command {
    async fn run(self) -> anyhow::Result<ExitCode> {
        Ok(match self {
            Self::Worker(args) => worker::run(args).await?.report(),
            Self::Status(args) => status::run(args).await?.report(),
            Self::Deliveries(args) => deliveries::run(args).await?.report(),
            Self::Replay(args) => replay::run(args).await?.report(),
            Self::Gateway(args) => gateway::run(args).await?.report(),
            Self::Config(command) => config::run(command).await?.report(),
            Self::Render(args) => render::run(args).await?.report(),
            Self::SendTest(args) => send_test::run(args).await?,
            Self::Audit(args) => audit::run(args).await?,
            Self::Evidence(args) => evidence::run(args).await?.report(),
            Self::Migrate(args) => migrate::run(args).await?.report(),
            Self::Grant(args) => grant::run(args).await?.report(),
            Self::Secrets(command) => secrets::run(command).await?,
            Self::Source(command) => source::run(command).await?,
            Self::Token(command) => token::run(command).await?.report(),
            Self::Receiver(args) => receiver::run(args).await?.report(),
            Self::Demo(args) => demo::run(args).await?,
            Self::Sandbox(args) => sandbox::run(args).await?,
        })
    }
}

/// Runs the command that the arguments name. The exit code is 2 for a call that does not fit the
/// usage, 1 for a command that failed, else what the command says.
pub async fn main() -> ExitCode {
    panics::keep_to_themselves();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return failure::usage(&usage),
    };
    match cli.command.run().await {
        Ok(code) => code,
        Err(error) => failure::tell(&error),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
