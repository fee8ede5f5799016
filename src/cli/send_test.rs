//! `posthorn send-test`: a request now, by the way that deliveries take.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;

use super::{exchange, request};
use crate::judge::judge;
use crate::mask::Mask;
use crate::model::{Credential, Verdict};
use crate::send::Sender;
use crate::start;
use crate::worker::ANSWER_CAP;

/// Sends a sample event to one subscription now, and prints the exchange. Nothing of it is
/// recorded; exit code 1 where it would not count as delivered.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: request::RequestArgs,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut prepared = args.request.prepare().await?;
    let subscription = &prepared.subscription;
    let mut out = io::stdout();
    exchange::write_request(&prepared.request, subscription, &mut out)?;
    writeln!(out, "\n")?;

    let network = start::network(&prepared.config.egress);
    let sender = Sender::new(network.context("egress.proxy_pool")?, ANSWER_CAP);
    let outcome = sender
        .send(
            &mut prepared.request,
            subscription,
            Credential::Current,
            prepared.now,
        )
        .await;
    let judgement = judge(&outcome.wire, &subscription.success);
    let mask = Mask::of(
        &prepared.event,
        subscription,
        &prepared.request,
        &outcome.wire,
    );
    write!(out, "{}", exchange::outcome(&outcome, &judgement, &mask))?;
    Ok(match judgement.verdict {
        Verdict::Delivered => ExitCode::SUCCESS,
        Verdict::Retry | Verdict::GiveUp | Verdict::Disable => ExitCode::FAILURE,
    })
}
