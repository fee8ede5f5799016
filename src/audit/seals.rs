//! Whether the records of sealed days are as they were when they were sealed.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use uuid::Uuid;

use super::difference::{RowChange, difference};
use crate::model::seal::{Digest, Records, Row, Seal};
use crate::store::seals::{
    ChangedSlice, count_sealed, find_changed_slices, find_dropped_days, find_rows_before,
    list_seals, read_rows, slices_digest,
};
use crate::store::{Pool, StoreError};

/// What was found of one sealed day.
#[derive(Clone, Debug, Serialize)]
pub struct Day {
    /// The day of writing, in UTC.
    pub day: NaiveDate,
    /// How many rows of the ledger were sealed.
    pub deliveries: i64,
    /// How many attempts were sealed.
    pub attempts: i64,
    /// Whether retention has dropped the day's partitions, so that there are no rows to compare.
    pub dropped: bool,
    /// What is not as it was sealed; empty where everything is.
    pub findings: Vec<Finding>,
}

impl Day {
    const fn without_seal(day: NaiveDate, findings: Vec<Finding>) -> Self {
        Self {
            day,
            deliveries: 0,
            attempts: 0,
            dropped: false,
            findings,
        }
    }
}

/// Something that is not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The seal does not follow from its own columns, or not from the one before.
    BrokenChain,
    /// The seals before this one are gone.
    NoBeginning,
    /// There is no seal of the day, or not the one that was exported.
    NotAsExported,
    /// What the seal is made of was altered.
    /// The digests of slices that the seal is made of were altered.
    AlteredSlices {
        /// Which kind of records.
        records: Records,
    },
    /// The rows of one minute and one partition are not those that were sealed.
    Rows {
        /// Which kind of records.
        records: Records,
        /// The minute in which they were written.
        minute: DateTime<Utc>,
        /// The day of the events, which names the partition.
        event_day: NaiveDate,
        /// How many rows were sealed.
        sealed: i32,
        /// How many rows are there.
        found: i32,
        /// The first of the rows that changed.
        rows: Vec<RowChange>,
    },
    /// There are rows that say they are older than the first seal.
    OlderThanSeals {
        /// Which kind of records.
        records: Records,
        /// The event of the first of them.
        event_id: Uuid,
    },
}

/// The most rows of one slice that are named.
const NAMED: usize = 20;

/// How many rows are compared by one statement, but that a minute is not cut.
const ROWS: i64 = 20_000;

/// Goes through all sealed days; `tell` is given each. `exported` are seals that were kept
/// elsewhere. Memory is the slices of so many rows, and one minute's rows.
pub async fn verify(
    pool: &Pool,
    exported: &[Seal],
    mut tell: impl FnMut(&Day),
) -> Result<(), StoreError> {
    let seals = list_seals(pool).await?;
    let dropped = find_dropped_days(pool).await?;
    let mut chain = chain_findings(&seals, exported);
    for seal in &seals {
        let day = Day {
            day: seal.day,
            deliveries: seal.deliveries,
            attempts: seal.attempts,
            dropped: dropped.contains(&seal.day),
            findings: chain.remove(&seal.day).unwrap_or_default(),
        };
        tell(&with_rows(pool, seal, day).await?);
    }
    let mut rest: Vec<_> = chain.into_iter().collect();
    rest.sort_by_key(|(day, _)| *day);
    for (day, findings) in rest {
        tell(&Day::without_seal(day, findings));
    }
    match seals.first() {
        Some(first) => older_rows(pool, first.day, tell).await,
        None => Ok(()),
    }
}

/// Tells what the seals alone show, by day; also of days that have no seal.
fn chain_findings(seals: &[Seal], exported: &[Seal]) -> HashMap<NaiveDate, Vec<Finding>> {
    let mut findings: HashMap<NaiveDate, Vec<Finding>> = HashMap::new();
    let mut find = |day, finding| findings.entry(day).or_default().push(finding);
    let mut before: Option<&Seal> = None;
    for seal in seals {
        let follows = match before {
            None => true,
            Some(before) => seal.previous == before.seal && Some(seal.day) == before.day.succ_opt(),
        };
        if !follows || seal.recomputed() != seal.seal {
            find(seal.day, Finding::BrokenChain);
        }
        if before.is_none() && !seal.has_none_before() {
            find(seal.day, Finding::NoBeginning);
        }
        before = Some(seal);
    }
    let known: HashMap<NaiveDate, &Seal> = seals.iter().map(|seal| (seal.day, seal)).collect();
    for kept in exported {
        if known.get(&kept.day) != Some(&kept) {
            find(kept.day, Finding::NotAsExported);
        }
    }
    findings
}

/// Compares the rows with the slices, and the slices with the seal.
async fn with_rows(pool: &Pool, seal: &Seal, mut day: Day) -> Result<Day, StoreError> {
    for (records, sealed) in [
        (Records::Deliveries, &seal.deliveries_digest),
        (Records::Attempts, &seal.attempts_digest),
    ] {
        // Slices go when all their rows have gone.
        let slices = slices_digest(pool, seal.day, records).await?;
        let as_sealed = match &slices {
            Some(digest) => digest == sealed,
            None => day.dropped || *sealed == Digest::of(digest(&SHA256, b"").as_ref()),
        };
        if !as_sealed {
            day.findings.push(Finding::AlteredSlices { records });
        }
        for (low, high) in stretches(seal.day, &count_sealed(pool, seal.day, records).await?) {
            for slice in find_changed_slices(pool, seal.day, records, low, high).await? {
                day.findings.push(rows_of(pool, records, slice).await?);
            }
        }
    }
    Ok(day)
}

/// Cuts a day into stretches of whole minutes, by how many rows the minutes had.
fn stretches(
    day: NaiveDate,
    minutes: &[(DateTime<Utc>, i64)],
) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let mut low = day.and_time(NaiveTime::MIN).and_utc();
    let end = low + Days::new(1);
    let mut stretches = Vec::new();
    let mut rows = 0;
    for (minute, count) in minutes {
        if rows > 0 && rows + count > ROWS {
            stretches.push((low, *minute));
            low = *minute;
            rows = 0;
        }
        rows += count;
    }
    stretches.push((low, end));
    stretches
}

async fn rows_of(
    pool: &Pool,
    records: Records,
    slice: ChangedSlice,
) -> Result<Finding, StoreError> {
    let mut rows = Vec::new();
    if slice.found > 0 {
        let now: Vec<Row> = read_rows(pool, records, slice.event_day, slice.minute).await?;
        rows = difference(&slice.marks, &now);
        rows.truncate(NAMED);
    }
    Ok(Finding::Rows {
        records,
        minute: slice.minute,
        event_day: slice.event_day,
        sealed: slice.sealed,
        found: slice.found,
        rows,
    })
}

/// Looks for rows that claim to be older than the first sealed day: nothing was written before it.
async fn older_rows(
    pool: &Pool,
    first: NaiveDate,
    mut tell: impl FnMut(&Day),
) -> Result<(), StoreError> {
    let mut findings = Vec::new();
    for records in [Records::Deliveries, Records::Attempts] {
        let older = find_rows_before(pool, records, first).await?;
        let ids: HashSet<Uuid> = older.into_iter().collect();
        findings.extend(
            ids.into_iter()
                .map(|event_id| Finding::OlderThanSeals { records, event_id }),
        );
    }
    if let Some(day) = first.pred_opt()
        && !findings.is_empty()
    {
        tell(&Day::without_seal(day, findings));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::time;

    fn chain(days: u32) -> Vec<Seal> {
        let mut seals: Vec<Seal> = Vec::new();
        for day in 1..=days {
            let previous = seals.last().map(|seal| seal.seal.clone());
            let mut seal = Seal {
                day: NaiveDate::from_ymd_opt(2026, 3, day).unwrap(),
                deliveries: 5,
                deliveries_digest: Digest::of(&[1; 32]),
                attempts: 6,
                attempts_digest: Digest::of(&[2; 32]),
                previous: previous.unwrap_or(Digest::of(&[0; 32])),
                seal: Digest::of(&[0; 32]),
                sealed_at: time("2026-03-09T01:05:00Z"),
            };
            seal.seal = seal.recomputed();
            seals.push(seal);
        }
        seals
    }

    fn found(seals: &[Seal], exported: &[Seal]) -> Vec<(u32, Vec<Finding>)> {
        use chrono::Datelike;
        let found = chain_findings(seals, exported);
        let mut found: Vec<_> = found.into_iter().map(|(day, f)| (day.day(), f)).collect();
        found.sort_by_key(|(day, _)| *day);
        found
    }

    #[test]
    fn a_chain_that_was_touched_is_broken() {
        use Finding::{BrokenChain, NoBeginning, NotAsExported};
        let whole = chain(4);
        assert_eq!(found(&whole, &whole), []);
        let mut altered = chain(4);
        altered[1].deliveries = 4;
        assert_eq!(found(&altered, &[]), [(2, vec![BrokenChain])]);
        // Made to fit by itself, it does not fit the next one.
        altered[1].seal = altered[1].recomputed();
        assert_eq!(found(&altered, &[]), [(3, vec![BrokenChain])]);
        // And if all later ones were made anew, only an export tells.
        for at in 2..4 {
            altered[at].previous = altered[at - 1].seal.clone();
            altered[at].seal = altered[at].recomputed();
        }
        assert_eq!(found(&altered, &[]), []);
        assert_eq!(found(&altered, &whole[3..]), [(4, vec![NotAsExported])]);

        let mut gap = chain(4);
        gap.remove(1);
        assert_eq!(found(&gap, &[]), [(3, vec![BrokenChain])]);
        assert_eq!(found(&whole[1..], &[]), [(2, vec![NoBeginning])]);
        assert_eq!(found(&whole[..3], &whole), [(4, vec![NotAsExported])]);
    }

    #[test]
    fn a_day_is_compared_whole_and_a_minute_is_not_cut() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let at = |hour: u32| day.and_hms_opt(hour, 0, 0).unwrap().and_utc();
        let end = at(0) + Days::new(1);
        for (minutes, expected) in [
            (vec![], vec![(at(0), end)]),
            (vec![(at(0), 9), (at(5), 19_991)], vec![(at(0), end)]),
            (
                vec![(at(1), 15_000), (at(2), 5_001), (at(3), 90_000), (at(4), 1)],
                vec![(at(0), at(2)), (at(2), at(3)), (at(3), at(4)), (at(4), end)],
            ),
        ] {
            assert_eq!(stretches(day, &minutes), expected);
        }
    }

    #[test]
    fn an_exported_line_is_read_again() {
        let seal = &chain(1)[0];
        let line = serde_json::to_string(seal).unwrap();
        assert!(line.contains(r#""deliveries_digest":"0101"#), "{line}");
        assert_eq!(&serde_json::from_str::<Seal>(&line).unwrap(), seal);
    }
}
