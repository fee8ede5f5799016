//! `posthorn audit --since`.

use std::io::{self, Write};
use std::process::ExitCode;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::json;

use crate::audit::tally::{Counts, Line};
use crate::audit::{Span, audit};
use crate::cli::database::refusal;
use crate::cli::printable::Printable;
use crate::store::Pool;
use crate::store::shards::cluster_and_time;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Time(DateTime<Utc>),
    Ago(TimeDelta),
}

impl Since {
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse::<DateTime<Utc>>() {
            return Ok(Self::Time(time));
        }
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Self::Time(day.and_time(NaiveTime::MIN).and_utc()));
        }
        humantime::parse_duration(text)
            .ok()
            .and_then(|ago| TimeDelta::from_std(ago).ok())
            .map(Self::Ago)
            .ok_or_else(|| {
                "give a time such as 2026-03-01T12:00:00Z, a day such as 2026-03-01, \
                 or a duration such as \"2 days\""
                    .to_owned()
            })
    }

    fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Time(time) => time,
            Self::Ago(ago) => now.checked_sub_signed(ago).unwrap_or_default(),
        }
    }
}

pub async fn compare(
    pool: &Pool,
    since: Since,
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

const HEADING: &str = "day         expected  delivered    waiting     errors superseded  cancelled    missing   repeated  in flight  undecided  merchant";

fn tell(line: &Line, json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if json {
        serde_json::to_writer(&mut out, line)?;
        return writeln!(out);
    }
    let counts = columns(line.counts);
    writeln!(out, "{} {counts}  {}", line.day, Printable(&line.merchant))
}

fn columns(counts: Counts) -> String {
    let Counts {
        expected,
        delivered,
        waiting,
        posting_errors,
        superseded,
        cancelled,
        missing,
        repeated,
        in_flight,
        undecided,
        ..
    } = counts;
    format!(
        "{expected:>9} {delivered:>10} {waiting:>10} {posting_errors:>10} {superseded:>10} \
         {cancelled:>10} {missing:>10} {repeated:>10} {in_flight:>10} {undecided:>10}"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_day_and_a_duration_are_understood() {
        let now: DateTime<Utc> = "2026-03-03T12:00:00Z".parse().unwrap_or_default();
        for (text, expected) in [
            ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00+00:00"),
            ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00+00:00"),
            ("2026-03-01", "2026-03-01T00:00:00+00:00"),
            ("2 days", "2026-03-01T12:00:00+00:00"),
            ("90m", "2026-03-03T10:30:00+00:00"),
        ] {
            let since = Since::parse(text).map(|since| since.before(now).to_rfc3339());
            assert_eq!(since.as_deref(), Ok(expected));
        }
        for text in ["", "yesterday", "2026-13-01", "-1 day"] {
            assert!(Since::parse(text).is_err(), "{text}");
        }
    }
}
