//! `posthorn config apply`: makes a file's profiles, locks and subscriptions take effect.

use super::changes::FileArgs;
use super::words::Tense;
use crate::store::declared::{Consent, apply_declared};

/// Makes a file's profiles, locks and subscriptions take effect, in one transaction.
/// Workers notice by themselves.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    from: FileArgs,

    /// Also where the file no longer has more than a few of its subscriptions and locks
    #[arg(long)]
    yes: bool,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let many = args.yes;
    args.from
        .tell(Tense::Past, async |pool, declaration, take_over| {
            apply_declared(pool, declaration, Consent { take_over, many }).await
        })
        .await
}
