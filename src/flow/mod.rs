//! Flow: the nouns that travel between the machines (`feed`, `dispatch`, `record`) and those who
//! do their errands. Nothing here decides or waits.

pub mod clock;
pub mod entry;
pub mod input;
pub mod lease;
pub mod refill;
pub mod shards;
pub mod subscriptions;
pub mod window;

pub use clock::DbClock;

use std::time::Duration;

/// How long a statement of the flow may take: longer than any does on a database that works.
pub const STATEMENT: Duration = Duration::from_secs(10);

/// How long to wait between two tries while the database is away.
pub const AWAY: Duration = Duration::from_millis(250);

/// Why the database did not do what it was asked to. There is nothing but to ask again later. The
/// text is for the log: it has no secret and no payload.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Away(pub String);
