//! `posthorn config`: configuration as code.

mod apply;
mod changes;
mod check;
mod export;
mod import;
mod plan;
mod show;
mod words;

/// Checks, plans, applies, exports, imports and explains profiles, locks and subscriptions.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Check(check::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Export(export::Args),
    Import(import::Args),
    Show(show::Args),
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Plan(args) => plan::run(args).await,
        Command::Apply(args) => apply::run(args).await,
        Command::Export(args) => export::run(args).await,
        Command::Import(args) => import::run(&args),
        Command::Show(args) => show::run(args).await,
    }
}
