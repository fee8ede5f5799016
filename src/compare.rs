//! Compares a source's table with the events that were made of it, and finds what no trigger saw:
//! sessions that fire none, a trigger that was off for an hour, a restored table.
//!
//! ```text
//! table ──pages, by a stranger──▶ rows, and what was committed then
//!   log ──events of these rows that were committed then──▶ judge ──▶ differences
//! ```
//!
//! It tells, and sends nothing: whether a merchant is still to hear of it is for people to say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::time::timeout;

use crate::store::sources::{
    Comparable, Comparison, Difference, Expected, Row, Stranger, StrangerFailed, Told, find_told,
    url_of,
};
use crate::store::{Pool, StoreError, within};

/// The most differences of a source that are kept with their keys; further ones are counted.
pub const MOST_DIFFERENCES: usize = 1_000;

/// How many rows' events are looked up together: each lookup looks into each day of the log.
const LOOKED_UP: usize = 500;

/// How long a statement may take. It is longer than for a worker's: nobody waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long the comparison of one source may take, so that the others have their turn.
const DEADLINE: Duration = Duration::from_hours(4);

/// Why a comparison did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CompareFailed {
    /// The table could not be read.
    #[error(transparent)]
    Table(#[from] StrangerFailed),
    /// The log of events could not be read.
    #[error(transparent)]
    Log(#[from] StoreError),
}

/// How much of the database's time a comparison takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// All that it can use, because somebody waits.
    Full,
    /// Half of the time: it rests for as long as it works.
    Half,
}

/// Goes through the table once, in statements of a fraction of a second. A row that moves meanwhile
/// can escape it until the next time. When it began is for the caller to say.
pub async fn compare(
    pool: &Pool,
    urls: &[SecretString],
    source: &Comparable,
    haste: Haste,
) -> Result<(Comparison, Vec<Difference>), CompareFailed> {
    let Some(url) = url_of(urls, &source.role) else {
        return Err(StrangerFailed::Refused(format!(
            "there is no URL of its role, {}: maintenance.compare_urls has one for each",
            source.role
        ))
        .into());
    };
    let mut stranger = Stranger::connect(url, source).await?;
    let reading = read_through(pool, &mut stranger, source, haste);
    let tally = timeout(DEADLINE, reading).await;
    // Nothing of what the table's owner has defined goes on.
    let tally = match tally {
        Ok(Ok(tally)) => tally,
        Ok(Err(error)) => {
            stranger.end().await;
            return Err(error);
        }
        Err(_) => {
            stranger.end().await;
            let why = format!("it was not through after {DEADLINE:?}");
            return Err(StrangerFailed::Refused(why).into());
        }
    };
    let differences = tally.differences.into_values().collect();
    Ok((tally.comparison, differences))
}

async fn read_through(
    pool: &Pool,
    stranger: &mut Stranger,
    source: &Comparable,
    haste: Haste,
) -> Result<Tally, CompareFailed> {
    let mut tally = Tally::default();
    let last = stranger.pages(source).await?;
    let mut from = 0;
    let mut step = Step::default();
    while from < last {
        let began = Instant::now();
        let to = from.saturating_add(step.pages).min(last);
        let before = tally.comparison.rows;
        read_pages(pool, stranger, source, from..to, &mut tally).await?;
        let took = began.elapsed();
        step.follow(tally.comparison.rows - before, took);
        if haste == Haste::Half {
            tokio::time::sleep(took).await;
        }
        from = to;
    }
    Ok(tally)
}

async fn read_pages(
    pool: &Pool,
    stranger: &mut Stranger,
    source: &Comparable,
    range: Range<u32>,
    tally: &mut Tally,
) -> Result<(), CompareFailed> {
    let mut pages = stranger.open(source, range).await?;
    loop {
        let rows = pages.next().await?;
        if rows.is_empty() {
            return Ok(pages.close().await?);
        }
        for rows in rows.chunks(LOOKED_UP) {
            let told = find_told(pool, source, &pages.snapshot, rows);
            let told = within(PATIENCE, told).await?;
            for (row, told) in rows.iter().zip(told) {
                let verdict = judge(source.expected, row, &told);
                tally.count(row, told.last, verdict);
            }
        }
    }
}

/// How many pages are read at a time.
#[derive(Debug)]
struct Step {
    pages: u32,
}

impl Default for Step {
    fn default() -> Self {
        Self { pages: 16 }
    }
}

impl Step {
    /// The most pages of 8 KiB that are read at a time: 32 MiB.
    const MOST: u32 = 4_096;
    /// How many rows are to be read at a time, about.
    const ROWS: i64 = 2_000;
    const TIME: Duration = Duration::from_millis(250);

    fn follow(&mut self, rows: i64, took: Duration) {
        self.pages = if rows > Self::ROWS || took > Self::TIME {
            (self.pages / 2).max(1)
        } else {
            (self.pages * 2).min(Self::MOST)
        };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Told,
    Differs,
    /// The row differs from its events, and is to be left so.
    Muted,
    /// The row has no event, and perhaps never was to have one, or one that is dropped by now.
    Unknown,
}

fn judge(expected: Expected, row: &Row, told: &Told) -> Verdict {
    let is_told = match expected {
        Expected::Latest => told.last.as_ref() == Some(&row.status),
        Expected::Told => told.once,
        Expected::Known => told.last.is_some(),
    };
    if is_told {
        Verdict::Told
    } else if told.untold {
        Verdict::Muted
    } else if told.last.is_none() && !row.is_new {
        Verdict::Unknown
    } else {
        Verdict::Differs
    }
}

#[derive(Debug, Default)]
struct Tally {
    comparison: Comparison,
    /// The differences by merchant and transaction.
    differences: BTreeMap<(String, String), Difference>,
}

impl Tally {
    fn count(&mut self, row: &Row, last: Option<String>, verdict: Verdict) {
        self.comparison.rows += 1;
        match verdict {
            Verdict::Told => {}
            Verdict::Muted => self.comparison.muted += 1,
            Verdict::Unknown => self.comparison.unjudged += 1,
            Verdict::Differs => {
                self.comparison.differing += 1;
                self.keep(row, last);
            }
        }
    }

    fn keep(&mut self, row: &Row, last: Option<String>) {
        if self.differences.len() < MOST_DIFFERENCES {
            let difference = Difference {
                merchant: row.merchant.clone(),
                transaction_id: row.id.clone(),
                kind: row.kind.clone(),
                status: row.status.clone(),
                told: last,
            };
            let key = (row.merchant.clone(), row.id.clone());
            self.differences.insert(key, difference);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_told_differs_is_left_or_is_unknown() {
        for (expected, last, once, is_new, verdict) in [
            (Expected::Latest, Some("paid"), true, true, Verdict::Told),
            (
                Expected::Latest,
                Some("new"),
                false,
                false,
                Verdict::Differs,
            ),
            // Back to what it was, and only the way there was told.
            (
                Expected::Latest,
                Some("refunded"),
                true,
                false,
                Verdict::Differs,
            ),
            (Expected::Latest, None, false, true, Verdict::Differs),
            (Expected::Latest, None, false, false, Verdict::Unknown),
            (Expected::Told, Some("refunded"), true, false, Verdict::Told),
            (
                Expected::Told,
                Some("refunded"),
                false,
                false,
                Verdict::Differs,
            ),
            (Expected::Known, Some("new"), false, true, Verdict::Told),
            (Expected::Known, None, false, true, Verdict::Differs),
        ] {
            let row = Row {
                merchant: "m".to_owned(),
                id: "1".to_owned(),
                status: "paid".to_owned(),
                kind: "payment".to_owned(),
                is_new,
            };
            let mut told = Told {
                last: last.map(str::to_owned),
                once,
                untold: false,
            };
            let found = judge(expected, &row, &told);
            assert_eq!(found, verdict, "{expected:?} {told:?} {is_new}");
            told.untold = true;
            let left = if verdict == Verdict::Told {
                verdict
            } else {
                Verdict::Muted
            };
            assert_eq!(judge(expected, &row, &told), left);
        }
    }

    #[test]
    fn a_step_halves_when_it_was_too_much_and_never_ends() {
        let mut step = Step::default();
        step.follow(10, Duration::ZERO);
        assert_eq!(step.pages, 32);
        for _ in 0..20 {
            step.follow(10_000, Duration::ZERO);
        }
        assert_eq!(step.pages, 1);
        for _ in 0..20 {
            step.follow(0, Duration::ZERO);
        }
        assert_eq!(step.pages, Step::MOST);
        step.follow(0, Duration::from_secs(1));
        assert_eq!(step.pages, Step::MOST / 2);
    }
}
