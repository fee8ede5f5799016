//! A part of the log: what of it is asked for, and what is read.

use std::collections::HashSet;

use uuid::Uuid;

use crate::model::{Event, Snapshot};

/// The part of a window that is to be read; see `feed::window` for how it moves on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The end of the window; none for this very moment, which the answer then names.
    pub until: Option<Snapshot>,
    /// The transactions that are looked up one by one.
    pub late: Vec<Late>,
    /// The place among the younger transactions behind which to read.
    pub after: (u64, Uuid),
    /// The most events that the page may have.
    pub limit: i64,
}

/// A transaction that is looked up by itself: as a rule, it ran when the window began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// The transaction's id.
    pub xid: u64,
    /// The id of the transaction's last event that was read.
    pub after: Uuid,
    /// Whether the transaction is known to have more events than were read of it.
    pub left: bool,
}

/// What was read of a window.
#[derive(Debug)]
pub struct WindowPage {
    /// The end of the window.
    pub until: Snapshot,
    /// The events, with the id of the transaction that wrote each; late ones first, then by `(xid,
    /// id)`.
    pub events: Vec<(u64, Event)>,
    /// The ids of the page's events that must wait: they would pass an older one of their merchant
    /// and payment that was unread, when the page was asked for, in another transaction that is
    /// left.
    pub overtaking: HashSet<Uuid>,
    /// The newest configuration that these events can have met.
    pub revision: i64,
}
