//! A model of the database: what the statements of `posthorn::store` do, each in one step.
//!
//! `mvcc` has transactions and snapshots, `days` the log's partitions, `leases` the shards,
//! `deliveries` the ledger and what is written to it, `waiting` what waits, `transactions` the
//! addresses that transactions brought, `replays` what is made again, `history` the settings as
//! they were, `rules` what is refused. Whether the model does what is checked by `agreement`, against a real server.

mod days;
mod deliveries;
mod history;
mod leases;
mod mvcc;
mod replays;
mod rules;
mod subscriptions;
mod transactions;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::model::{DeliveryKey, Shard, Subscription};
use uuid::Uuid;

use self::days::Day;
pub use self::days::Plan;
pub use self::deliveries::{Ended, Open, Unwritten};
use self::history::Version;
use self::leases::ShardRow;
pub use self::mvcc::{Commit, Stored, Transaction};
pub use self::replays::{Replay, ReplayState};
pub use self::rules::Rules;
pub use self::transactions::{Brought, Series};

pub struct Database {
    /// Its clock at the run's beginning, and by how much it was stepped since.
    pub began: DateTime<Utc>,
    pub stepped: TimeDelta,
    /// Since the beginning; set before each statement.
    pub elapsed: TimeDelta,
    system: u64,
    /// Counts its starts.
    start: u32,
    next_xid: u64,
    latest_completed: u64,
    running: BTreeSet<u64>,
    committed: BTreeMap<u64, Commit>,
    pub events: Vec<Stored>,
    /// Of each merchant's transaction its events and addresses.
    series: BTreeMap<String, Series>,
    pub brought: BTreeMap<Uuid, Brought>,
    /// In the order in which they were asked for.
    pub replays: Vec<Replay>,
    /// What replays have opened, and which.
    pub opened: BTreeMap<DeliveryKey, Uuid>,
    /// Those that have a partition.
    days: BTreeSet<Day>,
    /// Statements that have planned to read the log, and not read it yet.
    readers: u32,
    pub shards: BTreeMap<Shard, ShardRow>,
    workers: BTreeMap<Uuid, DateTime<Utc>>,
    pub ledger: BTreeMap<DeliveryKey, Ended>,
    pub pending: BTreeMap<DeliveryKey, Open>,
    /// Event, subscription and generation, and the attempt's number.
    pub attempts: BTreeSet<(DeliveryKey, u32)>,
    pub subscriptions: BTreeMap<Uuid, Arc<Subscription>>,
    history: BTreeMap<Uuid, Vec<Version>>,
    /// Under which each was changed.
    pub revisions: BTreeMap<Uuid, Vec<i64>>,
    pub revision: i64,
    pub rules: Rules,
}

impl Database {
    pub fn new(began: DateTime<Utc>, shards: i16) -> Self {
        let mut database = Self {
            began,
            stepped: TimeDelta::zero(),
            elapsed: TimeDelta::zero(),
            system: 7_000_000_000_000_000_001,
            start: 1,
            next_xid: 1000,
            latest_completed: 999,
            running: BTreeSet::new(),
            committed: BTreeMap::new(),
            events: Vec::new(),
            series: BTreeMap::new(),
            brought: BTreeMap::new(),
            replays: Vec::new(),
            opened: BTreeMap::new(),
            days: BTreeSet::new(),
            readers: 0,
            shards: BTreeMap::new(),
            workers: BTreeMap::new(),
            ledger: BTreeMap::new(),
            pending: BTreeMap::new(),
            attempts: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            history: BTreeMap::new(),
            revisions: BTreeMap::new(),
            revision: 1,
            rules: Rules::default(),
        };
        for shard in (0..shards).map(Shard) {
            let row = ShardRow::new(&database);
            database.shards.insert(shard, row);
        }
        database
    }

    /// `clock_timestamp()`.
    pub fn now(&self) -> DateTime<Utc> {
        self.began + self.elapsed + self.stepped
    }

    /// `posthorn.cluster()`.
    pub fn cluster(&self) -> String {
        format!("{}/00000001/{}", self.system, self.start)
    }

    /// What a kill -9 and a restart leave: what was committed. The numbers of transactions
    /// that were running may be given again: `lost` of them, if there are so many.
    pub fn crash(&mut self, lost: u64) {
        self.start += 1;
        let committed = &self.committed;
        self.events
            .retain(|stored| committed.contains_key(&stored.xid));
        self.keep_series(|xid, committed| committed.contains_key(&xid));
        self.running.clear();
        self.readers = 0;
        let kept = self.committed.last_key_value();
        let kept = kept.map_or(999, |(xid, _)| *xid) + 1;
        self.next_xid = self.next_xid.saturating_sub(lost).max(kept);
        self.latest_completed = self.next_xid - 1;
    }

    pub fn subscribe(&mut self, subscription: Subscription) {
        let subscription = Arc::new(subscription);
        self.note_version(subscription.created_at, &subscription);
        self.subscriptions.insert(subscription.id, subscription);
    }

    /// Changes a subscription, under a new revision.
    pub fn configure(&mut self, id: Uuid, change: impl FnOnce(&mut Subscription)) {
        self.write();
        self.revision += 1;
        self.revisions.entry(id).or_default().push(self.revision);
        let mut subscription = Subscription::clone(&self.subscriptions[&id]);
        change(&mut subscription);
        subscription.revision = self.revision;
        let subscription = Arc::new(subscription);
        self.note_version(self.now(), &subscription);
        self.subscriptions.insert(id, subscription);
    }
}
