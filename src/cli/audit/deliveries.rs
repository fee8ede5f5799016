//! `posthorn audit --since`.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;

use crate::audit::tally::{Counts, Line};
use crate::audit::{Span, audit};
use crate::cli::database::refusal;
use crate::cli::json::lines;
use crate::cli::moment::Moment;
use crate::model::OneLine;
use crate::store::Pool;
use crate::store::shards::cluster_and_time;

pub async fn compare(
    pool: &Pool,
    since: Moment,
    repair: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let (_, now) = cluster_and_time(pool).await.map_err(|e| refusal(&e))?;
    let span = Span {
        since: since.before(now),
        until: now,
    };
    let mut told = Ok(());
    if !json {
        told = writeln!(io::stdout(), "{HEADING}");
    }
    let total = audit(pool, span, repair, |lines| {
        for line in lines {
            if told.is_ok() {
                told = tell(line, json);
            }
        }
    })
    .await
    .map_err(|error| refusal(&error))?;
    told?;
    finish(total, repair, json)?;
    let open = total.missing - total.repaired;
    Ok(if open == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

const HEADING: &str = "day         expected  delivered    waiting     errors superseded  cancelled    missing   repeated  unsettled  undecided  merchant";

fn tell(line: &Line, json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if json {
        return out.write_all(lines([line])?.as_bytes());
    }
    let counts = columns(line.counts);
    writeln!(out, "{} {counts}  {}", line.day, OneLine(&line.merchant))
}

fn columns(counts: Counts) -> String {
    format!(
        "{:>9} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        counts.expected,
        counts.delivered,
        counts.waiting,
        counts.posting_errors,
        counts.superseded,
        counts.cancelled,
        counts.missing,
        counts.repeated,
        counts.unsettled,
        counts.undecided
    )
}

fn finish(total: Counts, repair: bool, json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if json {
        return writeln!(out, "{}", json!({ "total": total }));
    }
    writeln!(out, "all        {}", columns(total))?;
    match (total.missing, total.missing - total.repaired) {
        (0, _) => Ok(()),
        (missing, 0) => writeln!(out, "{missing} were missing and are open again"),
        (_, open) if repair => writeln!(out, "{open} are still missing; run it again"),
        (_, open) => writeln!(out, "{open} are missing; --repair sends them"),
    }
}
