//! A delivery in memory.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::flow::entry::PageId;
use crate::flow::refill::Refilled;
use crate::model::{Credential, DeliveryKey, Endpoint, Event};

/// A delivery that waits in a lane, or is in the air.
#[derive(Clone, Debug)]
pub struct Item {
    /// What identifies it in every table.
    pub key: DeliveryKey,
    /// The subscription whose lane it takes.
    pub lane_id: Uuid,
    /// What is delivered.
    pub event: Arc<Event>,
    /// Where it goes, if it is a transaction's subscription's, instead of its lane's address.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Attempts made before this one.
    pub attempts: u32,
    /// How many of the attempts were turned away ([`Circumstances`](crate::plan::Circumstances)).
    pub turned_away: u32,
    /// Whether the delivery has a row in the database too.
    pub row: RowState,
    /// The page that brought it and whose checkpoint waits for it; none once it has, or
    /// is getting, a row.
    pub page: Option<PageId>,
    /// When it came into memory.
    pub since: Instant,
    /// From when its age counts: its event's insertion, or when the replay opened it.
    pub opened_at: DateTime<Utc>,
    /// What its next attempt carries; the lane says so when it goes out.
    pub trial: Trial,
}

/// The credential of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Which of the subscription's credentials it carries.
    pub credential: Credential,
    /// Whether there is another one for the delivery to try, should this be refused.
    pub other_left: bool,
}

/// Whether the delivery is in `pending_deliveries` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// It has no row.
    None,
    /// Handed to the recorder; not yet recorded.
    Asked,
    /// Its row is there.
    Recorded,
}

impl Item {
    /// Makes the delivery that was read back from the database.
    #[must_use]
    pub fn of_row(row: Refilled, now: Instant) -> Self {
        Self {
            key: row.key,
            lane_id: row.lane_id,
            opened_at: if row.key.is_replay() {
                row.opened_at
            } else {
                row.event.created_at
            },
            event: row.event,
            endpoint: row.endpoint.map(Arc::new),
            attempts: row.attempts,
            turned_away: row.turned_away,
            row: RowState::Recorded,
            page: None,
            since: now,
            trial: Trial::default(),
        }
    }

    /// The deliveries among which its order counts.
    #[must_use]
    pub fn series(&self) -> Series {
        Series {
            subscription_id: self.key.subscription_id,
            event: Arc::clone(&self.event),
        }
    }

    /// Whether the delivery is one of this series.
    #[must_use]
    pub fn is_of(&self, series: &Series) -> bool {
        self.key.subscription_id == series.subscription_id
            && self.event.transaction_id == series.event.transaction_id
    }

    /// Whether a newer event of its series supersedes it, where that is wanted. A replay was
    /// asked for, whatever came after its event.
    #[must_use]
    pub fn is_superseded_by(&self, newer: &Series) -> bool {
        self.is_of(newer) && !self.key.is_replay() && self.event.id < newer.event.id
    }

    /// Whether the event of the delivery supersedes an older one of this series.
    #[must_use]
    pub fn supersedes(&self, older: &Series) -> bool {
        self.is_of(older) && !self.key.is_replay() && self.event.id > older.event.id
    }

    /// What it weighs in the memory limits, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let endpoint = self
            .endpoint
            .as_ref()
            .map_or(0, |endpoint| endpoint.bytes());
        self.event.data.len() + endpoint + 512
    }
}

/// The deliveries of one transaction to one address: among these the order counts, and a
/// newer one supersedes an older one. Named by one of its events.
#[derive(Clone, Debug)]
pub struct Series {
    /// The address.
    pub subscription_id: Uuid,
    /// One of the transaction's events.
    pub event: Arc<Event>,
}

impl PartialEq for Series {
    fn eq(&self, other: &Self) -> bool {
        self.subscription_id == other.subscription_id
            && self.event.transaction_id == other.event.transaction_id
    }
}

impl Eq for Series {}

impl Hash for Series {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.subscription_id.hash(state);
        self.event.transaction_id.hash(state);
    }
}

/// A delivery of the n-th event, of the transaction that is named.
#[cfg(test)]
#[must_use]
pub fn sample(number: u128, transaction_id: &str, now: Instant) -> Item {
    let mut event = crate::model::samples::event();
    event.id = Uuid::from_u128(number);
    event.transaction_id = transaction_id.into();
    Item {
        key: DeliveryKey::first(event.id, Uuid::nil()),
        lane_id: Uuid::nil(),
        opened_at: event.created_at,
        event: Arc::new(event),
        endpoint: None,
        attempts: 0,
        turned_away: 0,
        row: RowState::None,
        page: None,
        since: now,
        trial: Trial::default(),
    }
}
