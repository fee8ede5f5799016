//! `posthorn config plan`: what applying a file would change, in words.

use super::changes::FileArgs;
use super::words::Tense;
use crate::store::declared::plan_declared;

/// Shows what applying a file would change. Writes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    from: FileArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    args.from.tell(Tense::Future, plan_declared).await
}
