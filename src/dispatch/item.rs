//! A delivery in memory.

use std::sync::Arc;
use std::time::Instant;

use crate::feed::checkpoint::PageId;
use crate::model::{Credential, DeliveryKey, Event};

/// A delivery that waits in a lane, or is in the air.
#[derive(Clone, Debug)]
pub struct Item {
    pub key: DeliveryKey,
    pub event: Arc<Event>,
    /// Attempts made before this one.
    pub attempts: u32,
    pub row: Row,
    /// The page that brought it and whose checkpoint waits for it; none once it has, or
    /// is getting, a row.
    pub page: Option<PageId>,
    /// When it came into memory.
    pub since: Instant,
    /// What its next attempt carries; the lane says so when it goes out.
    pub trial: Trial,
}

/// The credential of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    pub credential: Credential,
    /// Whether there is another one for the delivery to try, should this be refused.
    pub other_left: bool,
}

/// Whether the delivery is in `pending_deliveries` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    None,
    /// Handed to the recorder; not yet written.
    Asked,
    Written,
}

impl Item {
    /// What it weighs in the memory limits, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.event.data.len() + 512
    }
}
