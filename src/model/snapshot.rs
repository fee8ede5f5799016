//! A database snapshot: which transactions are finished, and which were still running.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Which transactions had finished at a moment: PostgreSQL's `pg_snapshot`, in its text form
/// `xmin:xmax:xip,…`.
///
/// A transaction is finished in it when its id is below `xmax` and not in `running`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The least transaction id that was still in progress; every one below it had finished.
    pub xmin: u64,
    /// The transaction id from which on none had finished.
    pub xmax: u64,
    /// The ids of the top-level transactions that were in progress, ascending.
    pub running: Vec<u64>,
}

impl Snapshot {
    /// Whether what this transaction wrote can be seen, once it has committed.
    #[must_use]
    pub fn includes(&self, xid: u64) -> bool {
        xid < self.xmax && self.running.binary_search(&xid).is_err()
    }

    /// The snapshot that includes nothing: 3 is the first number that `PostgreSQL` gives a
    /// transaction.
    #[must_use]
    pub const fn before_everything() -> Self {
        Self {
            xmin: 3,
            xmax: 3,
            running: Vec::new(),
        }
    }

    /// Whether this snapshot includes whatever `other` does. Of two snapshots of one database the
    /// later one contains the earlier.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.xmax >= other.xmax && self.running.iter().all(|xid| !other.includes(*xid))
    }

    /// This snapshot as it was before some transactions had finished.
    #[must_use]
    pub fn with_running(&self, xids: impl IntoIterator<Item = u64>) -> Self {
        let running = self.running.iter().copied().chain(xids);
        let running: BTreeSet<u64> = running.collect();
        Self {
            xmin: running.first().copied().unwrap_or(self.xmax),
            xmax: self.xmax,
            running: running.into_iter().collect(),
        }
    }

    /// A snapshot between `from` and this one: what `from` includes, and of the rest what
    /// this one includes below a transaction.
    #[must_use]
    pub fn below(&self, from: &Self, xid: u64) -> Self {
        let (xmax, running): (u64, Vec<u64>) = if xid >= from.xmax {
            let running = self.running.iter().copied();
            (xid, running.filter(|running| *running < xid).collect())
        } else {
            let running = from.running.iter().copied();
            let stays = |running: &u64| *running >= xid || !self.includes(*running);
            (from.xmax, running.filter(stays).collect())
        };
        Self {
            xmin: running.first().copied().unwrap_or(xmax),
            xmax,
            running,
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (at, xid) in self.running.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{xid}")?;
        }
        Ok(())
    }
}

/// A text that is no snapshot.
#[derive(Debug, thiserror::Error)]
#[error("not a snapshot; expected xmin:xmax:xip,…")]
pub struct NotASnapshot;

impl FromStr for Snapshot {
    type Err = NotASnapshot;

    fn from_str(text: &str) -> Result<Self, NotASnapshot> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| NotASnapshot);
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(NotASnapshot);
        let (xmin, xmax, running) = (number(part()?)?, number(part()?)?, part()?);
        let running = running
            .split(',')
            .filter(|xid| !xid.is_empty())
            .map(number)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            xmin,
            xmax,
            running,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_of_postgres_is_read_and_written() {
        for text in ["3:3:", "10:20:10,14,15"] {
            assert_eq!(text.parse::<Snapshot>().unwrap().to_string(), text);
        }
        for text in ["", "3", "3:4", "a:b:", "3:4:x"] {
            assert!(text.parse::<Snapshot>().is_err(), "{text}");
        }
    }

    #[test]
    fn running_and_future_transactions_are_not_included() {
        let snapshot: Snapshot = "10:20:10,14".parse().unwrap();
        for (xid, included) in [
            (9, true),
            (10, false),
            (11, true),
            (14, false),
            (19, true),
            (20, false),
        ] {
            assert_eq!(snapshot.includes(xid), included, "{xid}");
        }
    }

    #[test]
    fn a_later_snapshot_contains_an_earlier_one() {
        let snapshot = |text: &str| text.parse::<Snapshot>().unwrap();
        let earlier = snapshot("10:20:10,14");
        for (later, contains) in [
            ("10:20:10,14", true),
            ("14:20:14", true),
            ("20:20:", true),
            ("10:25:10,14,22", true),
            ("10:20:10,14,15", false),
            ("10:19:10,14", false),
        ] {
            assert_eq!(snapshot(later).contains(&earlier), contains, "{later}");
        }
    }

    #[test]
    fn what_is_put_back_among_the_running_is_not_included() {
        let snapshot: Snapshot = "14:20:14".parse().unwrap();
        assert_eq!(snapshot.with_running([]), snapshot);
        let before = snapshot.with_running([17, 9, 14]);
        assert_eq!(before.to_string(), "9:20:9,14,17");
        assert!(snapshot.contains(&before));
        let all: Snapshot = "20:20:".parse().unwrap();
        assert_eq!(all.with_running([]), all);
    }

    #[test]
    fn a_snapshot_between_two_includes_what_lies_below_a_transaction() {
        let from: Snapshot = "10:20:10,14,17".parse().unwrap();
        let until: Snapshot = "14:30:14,24,26".parse().unwrap();
        for (xid, text) in [
            (25, "14:25:14,24"),
            (20, "14:20:14"),
            (17, "14:20:14,17"),
            (10, "10:20:10,14,17"),
        ] {
            let between = until.below(&from, xid);
            assert_eq!(between.to_string(), text);
            assert!(between.contains(&from) && until.contains(&between), "{xid}");
        }
    }
}
