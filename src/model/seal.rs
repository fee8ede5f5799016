//! What vouches for the records of one day.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What was written on one day, sealed: a row of `posthorn.seals`, and a line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The day of writing, in UTC.
    pub day: NaiveDate,
    /// How many rows of the ledger were written that day.
    pub deliveries: i64,
    /// The digest of those rows of the ledger.
    pub deliveries_digest: Digest,
    /// How many attempts were recorded that day.
    pub attempts: i64,
    /// The digest of those attempts.
    pub attempts_digest: Digest,
    /// The seal of the day before, which chains the days; zeros for the first.
    pub previous: Digest,
    /// The digest of all the values before it here.
    pub seal: Digest,
    /// When the day was sealed, by the database's clock.
    pub sealed_at: DateTime<Utc>,
}

/// A SHA-256 digest; hexadecimal in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub String);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use fmt::Write;
        let mut hex = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }
}

impl Seal {
    /// The digest that the seal of these values has, over the same line as `posthorn.seal_of`.
    #[must_use]
    pub fn recomputed(&self) -> Digest {
        let line = format!(
            "{} {} {} {} {} {}",
            self.previous.0,
            self.day,
            self.deliveries,
            self.deliveries_digest.0,
            self.attempts,
            self.attempts_digest.0
        );
        Digest::of(digest(&SHA256, line.as_bytes()).as_ref())
    }

    /// Whether this is the first seal of a chain, which has none before it.
    #[must_use]
    pub fn has_none_before(&self) -> bool {
        self.previous.0.bytes().all(|byte| byte == b'0')
    }
}

/// The two kinds of records that are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// The rows of the ledger, `posthorn.deliveries`.
    Deliveries,
    /// The rows of `posthorn.attempts`.
    Attempts,
}

impl Records {
    /// The name of the records' table, which is also the spelling of `posthorn.seal_slices`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Attempts => "attempts",
        }
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first four bytes of a row's digest: enough to tell which rows changed.
pub type Mark = [u8; 4];

/// What names a sealed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RowKey {
    /// The event of the delivery.
    pub event_id: Uuid,
    /// The subscription of the delivery.
    pub subscription_id: Uuid,
    /// The delivery's generation, 0 for the first.
    pub generation: i32,
    /// The attempt's number, from 1; none for a row of the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i32>,
}

/// A row as it is now: its key, and a mark of its contents.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What names the row.
    pub key: RowKey,
    /// A mark of all that the row holds.
    pub mark: Mark,
}
