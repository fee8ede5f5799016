//! Transactions, snapshots, and the log that is read by them.

use posthorn::flow::window::{Late, PageRequest, WindowPage};
use posthorn::model::{Event, Shard, Snapshot};
use uuid::Uuid;

use super::days::Day;
use super::{Database, Plan};

/// A row of `posthorn.events`.
pub struct Stored {
    pub xid: u64,
    pub event: Event,
    /// The partition that it lies in; none is the default one.
    pub(super) day: Option<Day>,
}

/// When a transaction was committed, among all of them, and what the settings were then.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    pub place: usize,
    pub revision: i64,
}

/// It ends with the server that it runs on.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    pub xid: u64,
    start: u32,
}

impl Transaction {
    pub(super) const fn start_is(self, start: u32) -> bool {
        self.start == start
    }
}

impl Database {
    /// A transaction gets its number at its first write.
    pub fn begin(&mut self) -> Transaction {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.running.insert(xid);
        Transaction {
            xid,
            start: self.start,
        }
    }

    pub fn insert(&mut self, transaction: Transaction, event: Event) {
        if transaction.start == self.start {
            let xid = transaction.xid;
            let day = self.day_for(event.id);
            self.note_in_series(xid, &event);
            self.events.push(Stored { xid, event, day });
        }
    }

    /// False: the transaction is gone.
    pub fn commit(&mut self, transaction: Transaction) -> bool {
        let is_there = self.end_transaction(transaction);
        if is_there {
            let commit = Commit {
                place: self.committed.len(),
                revision: self.revision,
            };
            self.committed.insert(transaction.xid, commit);
        }
        is_there
    }

    pub fn roll_back(&mut self, transaction: Transaction) {
        if self.end_transaction(transaction) {
            self.events.retain(|stored| stored.xid != transaction.xid);
            self.keep_series(|xid, _| xid != transaction.xid);
        }
    }

    fn end_transaction(&mut self, Transaction { xid, start }: Transaction) -> bool {
        let is_there = start == self.start;
        if is_there {
            self.running.remove(&xid);
            self.latest_completed = self.latest_completed.max(xid);
        }
        is_there
    }

    /// A statement that writes takes a number of its own.
    pub(super) fn write(&mut self) {
        let transaction = self.begin();
        self.commit(transaction);
    }

    /// `xmax` is the one after the latest that has completed, not the next to be given:
    /// what runs above it is not listed.
    pub fn snapshot(&self) -> Snapshot {
        let xmax = self.latest_completed + 1;
        let running: Vec<u64> = self.running.range(..xmax).copied().collect();
        Snapshot {
            xmin: running.first().copied().unwrap_or(xmax),
            xmax,
            running,
        }
    }

    pub fn is_committed(&self, xid: u64) -> bool {
        self.committed.contains_key(&xid)
    }

    pub fn commit_of(&self, xid: u64) -> Option<Commit> {
        self.committed.get(&xid).copied()
    }

    /// `store::log::read_page`.
    pub fn read_page(
        &mut self,
        plan: &Plan,
        request: &PageRequest,
        shards: &[Shard],
        floor: Uuid,
    ) -> WindowPage {
        self.unplan(plan);
        let until = request.until.clone().unwrap_or_else(|| self.snapshot());
        let limit = usize::try_from(request.limit).unwrap();
        let mut visible: Vec<&Stored> = self
            .events
            .iter()
            .filter(|stored| {
                let is_late = request.late.iter().any(|late| late.xid == stored.xid);
                (stored.xid >= request.after.0 || is_late)
                    && plan.reaches(stored)
                    && self.is_committed(stored.xid)
                    && until.includes(stored.xid)
                    && stored.event.id >= floor
                    && shards.contains(&stored.event.shard)
            })
            .collect();
        visible.sort_by_key(|stored| (stored.xid, stored.event.id));
        let mut found: Vec<&Stored> = Vec::new();
        for late in &request.late {
            let of_it = visible
                .iter()
                .filter(|stored| stored.xid == late.xid && stored.event.id > late.after);
            found.extend(of_it.take(limit).copied());
        }
        let younger = visible
            .iter()
            .filter(|stored| (stored.xid, stored.event.id) > request.after);
        found.extend(younger.take(limit).copied());
        let is_overtaking = |one: &Stored| {
            let unread = self.events.iter().filter(|stored| {
                let is_left = |late: &Late| {
                    late.left && late.xid == stored.xid && late.after < stored.event.id
                };
                stored.xid != one.xid && request.late.iter().any(is_left)
            });
            let mut unread = unread.map(|stored| &stored.event);
            unread.any(|event| {
                event.merchant == one.event.merchant
                    && event.transaction_id == one.event.transaction_id
                    && event.id < one.event.id
            })
        };
        let overtaking = found.iter().filter(|stored| is_overtaking(stored));
        WindowPage {
            until,
            overtaking: overtaking.map(|stored| stored.event.id).collect(),
            events: found
                .into_iter()
                .map(|stored| (stored.xid, stored.event.clone()))
                .collect(),
            revision: self.revision,
        }
    }

    /// `store::log::read_by_id`.
    pub fn read_by_id(
        &mut self,
        plan: &Plan,
        shards: &[Shard],
        after: Uuid,
        until: &Snapshot,
        limit: i64,
    ) -> Vec<Event> {
        self.unplan(plan);
        let mut visible: Vec<&Event> = self
            .events
            .iter()
            .filter(|stored| plan.reaches(stored))
            .filter(|stored| self.is_committed(stored.xid) && until.includes(stored.xid))
            .map(|stored| &stored.event)
            .filter(|event| event.id > after && shards.contains(&event.shard))
            .collect();
        visible.sort_by_key(|event| event.id);
        visible.truncate(usize::try_from(limit).unwrap());
        visible.into_iter().cloned().collect()
    }
}
