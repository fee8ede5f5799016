//! What is written together, and the parts of it.

use std::collections::HashSet;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::flow::entry::{Change, Entry, PageId, ToRecord};
use crate::model::DeliveryKey;

/// Entries that are written in one statement.
#[derive(Debug, Default)]
pub struct Batch {
    /// The entries, in the order in which they came.
    pub entries: Vec<Entry>,
    pages: Vec<Option<PageId>>,
    keys: HashSet<DeliveryKey>,
    /// Whether some event of it supersedes older ones.
    supersedes: bool,
}

impl Batch {
    /// A delivery stands in a batch once only: all parts of the statement see the same
    /// snapshot, so a row made and removed in it would stay. For the same reason an event
    /// that supersedes older ones does not stand beside others of its transaction.
    /// What does not fit is returned: it begins the next batch.
    pub fn add(&mut self, next: ToRecord) -> Option<ToRecord> {
        let supersedes = |entry: &Entry| matches!(entry.change, Change::SupersedeOlder { .. });
        let is_of_one = |entry: &Entry| {
            entry.key.subscription_id == next.entry.key.subscription_id
                && entry.transaction_id == next.entry.transaction_id
        };
        let next_supersedes = supersedes(&next.entry);
        let does_not_fit = self.keys.contains(&next.entry.key)
            || (self.supersedes || next_supersedes)
                && self
                    .entries
                    .iter()
                    .any(|entry| is_of_one(entry) && (next_supersedes || supersedes(entry)));
        if does_not_fit {
            return Some(next);
        }
        self.supersedes |= next_supersedes;
        self.keys.insert(next.entry.key);
        self.entries.push(next.entry);
        self.pages.push(next.page);
        None
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Neighbouring entries of a batch that is complete. A clone costs nothing: a statement that
/// nobody waits for any more may still hold one.
#[derive(Clone, Debug)]
pub struct Part {
    of: Arc<Batch>,
    range: Range<usize>,
}

impl From<Batch> for Part {
    /// The whole of it.
    fn from(batch: Batch) -> Self {
        let range = 0..batch.len();
        let of = Arc::new(batch);
        Self { of, range }
    }
}

impl From<ToRecord> for Part {
    /// An entry by itself.
    fn from(single: ToRecord) -> Self {
        let mut batch = Batch::default();
        // Everything fits into an empty one.
        batch.add(single);
        Self::from(batch)
    }
}

impl Deref for Part {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.of.entries[self.range.clone()]
    }
}

impl Part {
    /// The pages whose checkpoints wait for its entries, in their order.
    #[must_use]
    pub fn pages(&self) -> &[Option<PageId>] {
        &self.of.pages[self.range.clone()]
    }

    /// Its entry, if it has only one.
    #[must_use]
    pub fn alone(&self) -> Option<ToRecord> {
        let ([entry], [page]) = (&**self, self.pages()) else {
            return None;
        };
        let (entry, page) = (entry.clone(), *page);
        Some(ToRecord { entry, page })
    }

    /// Its two halves: what was refused is written apart from what was not.
    #[must_use]
    pub fn halves(&self) -> [Self; 2] {
        let middle = self.range.start + self.range.len() / 2;
        let halves = [self.range.start..middle, middle..self.range.end];
        halves.map(|range| Self {
            of: Arc::clone(&self.of),
            range,
        })
    }
}
