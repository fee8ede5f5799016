//! A part of the log: what of it is asked for, and what is read.

use std::collections::HashSet;

use uuid::Uuid;

use crate::model::{Event, Snapshot};

/// Which part of a window to read; see `feed::window` for how it moves on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The end of the window; none: this very moment, which the answer then names.
    pub until: Option<Snapshot>,
    pub late: Vec<Late>,
    /// Of the younger transactions: everything after this one.
    pub after: (u64, Uuid),
    pub limit: i64,
}

/// A transaction that is looked up by itself: as a rule, it ran when the window began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    pub xid: u64,
    /// The last id already read.
    pub after: Uuid,
    /// Whether the transaction is known to have more events than were read of it.
    pub left: bool,
}

#[derive(Debug)]
pub struct WindowPage {
    pub until: Snapshot,
    /// With the transaction that wrote each; late ones first, then by `(xid, id)`.
    pub events: Vec<(u64, Event)>,
    /// The events of the page that must wait: they would pass an older one of their merchant and
    /// payment that was unread, when the page was asked for, in another transaction that is left.
    pub overtaking: HashSet<Uuid>,
    /// The newest configuration that these events can have met.
    pub revision: i64,
}
