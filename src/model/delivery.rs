//! A delivery is an event for a subscription; a replay opens a new generation of it.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// What identifies a delivery in every table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryKey {
    /// The event that is delivered.
    pub event_id: Uuid,
    /// The subscription that gets it, or the transaction's own endpoint.
    pub subscription_id: Uuid,
    /// How often the delivery was asked for again: 0 for the one that the event itself caused, 1
    /// and up for replays.
    pub generation: i32,
}

impl DeliveryKey {
    /// The key of the delivery that the event itself caused.
    #[must_use]
    pub const fn first(event_id: Uuid, subscription_id: Uuid) -> Self {
        Self {
            event_id,
            subscription_id,
            generation: 0,
        }
    }

    /// Whether somebody asked for the delivery again: what the event itself causes goes first.
    #[must_use]
    pub const fn is_replay(&self) -> bool {
        self.generation > 0
    }
}

/// One name for an event and a subscription, the same at every attempt and replay: the UUID of
/// version 5 (RFC 9562, section 5.5) of the subscription's id, as text, within the event's. In SQL
/// `uuid_generate_v5(event_id, subscription_id::text)` of the extension uuid-ossp.
#[must_use]
pub fn delivery_id(event_id: Uuid, subscription_id: Uuid) -> Uuid {
    let mut buffer = Uuid::encode_buffer();
    let name = subscription_id.hyphenated().encode_lower(&mut buffer);
    Uuid::new_v5(&event_id, name.as_bytes())
}

/// Where a delivery stands. The first two states are open, the others are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The delivery waits for its first attempt, or for the answer to it.
    Pending,
    /// The delivery failed at least once and waits for its next attempt.
    PendingRetry,
    /// An answer fitted the success rule.
    Delivered,
    /// The attempts are used up, or the delivery can never be sent.
    PostingError,
    /// A newer event of the same transaction took its place.
    Superseded,
    /// The delivery was withdrawn before it succeeded.
    Cancelled,
}

impl State {
    /// Every state, in the order of the database's type.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::PendingRetry,
        Self::Delivered,
        Self::PostingError,
        Self::Superseded,
        Self::Cancelled,
    ];

    /// Whether a delivery in this state still waits for an attempt.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::PendingRetry)
    }

    /// The state in the spelling of `posthorn.delivery_state`, of metrics and of the docs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::PendingRetry => "pending_retry",
            Self::Delivered => "delivered",
            Self::PostingError => "posting_error",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for State {
    type Err = NoState;

    fn from_str(text: &str) -> Result<Self, NoState> {
        let mut known = Self::ALL.into_iter();
        known.find(|state| state.as_str() == text).ok_or(NoState)
    }
}

/// A text that names no state of a delivery.
#[derive(Debug, thiserror::Error)]
#[error("not a delivery's state")]
pub struct NoState;

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
