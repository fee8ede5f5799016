//! A database snapshot: which transactions are finished, and which were still running.

use std::fmt;
use std::str::FromStr;

/// PostgreSQL's `pg_snapshot`, in its text form `xmin:xmax:xip,…`.
///
/// A transaction is finished in it when its id is below `xmax` and not in `running`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub xmin: u64,
    pub xmax: u64,
    /// Top-level transactions that were in progress, ascending.
    pub running: Vec<u64>,
}

impl Snapshot {
    /// Whether what this transaction wrote can be seen, once it has committed.
    #[must_use]
    pub fn includes(&self, xid: u64) -> bool {
        xid < self.xmax && self.running.binary_search(&xid).is_err()
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
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
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
}
