//! `posthorn config apply`: makes a file's profiles, locks and subscriptions take effect.

use super::changes::FileArgs;
use super::words::Tense;
use crate::store::declared::apply_declared;

/// Makes a file's profiles, locks and subscriptions take effect, in one transaction.
/// Workers notice by themselves.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    from: FileArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    args.from.tell(Tense::Past, apply_declared).await
}
