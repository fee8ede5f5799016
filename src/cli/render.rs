//! `posthorn render`: the request that a worker would send.

use std::io::{self, Write};

use super::{exchange, request};

/// Prints the exact request for an event and a subscription, credentials masked, without
/// sending it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: request::RequestArgs,

    /// Only the body, byte for byte
    #[arg(long)]
    body: bool,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let prepared = args.request.prepare().await?;
    let mut out = io::stdout();
    if args.body {
        out.write_all(&prepared.request.body)?;
    } else {
        exchange::write_request(&prepared.request, &prepared.subscription, &mut out)?;
    }
    Ok(out.flush()?)
}
