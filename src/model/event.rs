//! One committed status change of one transaction.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Shard;

/// One committed change of a transaction's status: a row of `posthorn.events`.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's id, a UUID of version 7: its order is the order of insertion, to the
    /// microsecond.
    pub id: Uuid,
    /// The shard that the merchant belongs to, and with it the worker that delivers the event.
    pub shard: Shard,
    /// The tenant that the transaction belongs to.
    pub merchant: Box<str>,
    /// What kind of change it is, such as `payment.approved`; free text of the provider.
    pub kind: Box<str>,
    /// The provider's name for the transaction, unique within the merchant.
    pub transaction_id: Box<str>,
    /// The transaction's new status, in the provider's own spelling.
    pub status: Box<str>,
    /// The published JSON, byte for byte as it was written; empty once it was purged.
    pub data: Box<str>,
    /// When the row was inserted, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// Leaves the payload out: it may hold health or card data (invariant 9).
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("shard", &self.shard)
            .field("data_bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// The least id that an event inserted at this moment, or later, can have: 48 bits of
/// milliseconds, then zeros. The database's function `posthorn.uuid_floor` says the same.
#[must_use]
pub fn first_id_at(moment: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(moment.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}

/// The status of a transaction before an event, by the event's id; a transaction's first event has
/// none.
pub type StatusesBefore = HashMap<Uuid, Box<str>>;
