//! What vouches for the records of one day.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A row of `posthorn.seals`, and a line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    pub day: NaiveDate,
    pub deliveries: i64,
    pub deliveries_digest: Digest,
    pub attempts: i64,
    pub attempts_digest: Digest,
    pub previous: Digest,
    pub seal: Digest,
    pub sealed_at: DateTime<Utc>,
}

/// Hexadecimal in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub String);

impl Digest {
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
    /// The same line as `posthorn.seal_of` digests.
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

    /// Of the first seal.
    #[must_use]
    pub fn has_none_before(&self) -> bool {
        self.previous.0.bytes().all(|byte| byte == b'0')
    }
}

/// What is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    Deliveries,
    Attempts,
}

impl Records {
    /// The table, and the spelling of `posthorn.seal_slices`.
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

/// The first four bytes of a row's digest.
pub type Mark = [u8; 4];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RowKey {
    pub event_id: Uuid,
    pub subscription_id: Uuid,
    pub generation: i32,
    /// Of an attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i32>,
}

/// A row as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub key: RowKey,
    pub mark: Mark,
}
