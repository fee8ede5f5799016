//! Which shards this worker keeps: leases, checkpoints, taking and handing over. A state machine
//! without I/O: [`Keeper::step`] takes an input and a time, and [`Keeper::take_errands`] says
//! what others are to do. Which shards to take or leave is decided in [`super::ownership`].
//!
//! Renewing comes before everything else. Besides the renewals one statement is under way at
//! a time; no other statement delays a renewal, however long it hangs, and no renewal delays
//! the next.

mod answers;
mod leases;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use self::words::{Answer, Checkpointing, Errand, Input, Renewal, Statement};
use super::ownership::{Ownership, RENEWALS_AT_ONCE, Release};
use crate::flow::entry::Backlog;
use crate::flow::lease::Lease;
use crate::flow::shards::{Drained, ShardOrder};
use crate::flow::{DbClock, STATEMENT};
use crate::model::{Epoch, Shard};

/// How soon what has failed is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// How often it looks for free shards: a dead worker's are taken this soon after its lease.
const LOOK: Duration = Duration::from_millis(500);

/// How long handing over may take beyond the grace period for what is in the air.
const HAND_OVER: Duration = Duration::from_secs(10);

/// How often somebody who waits for the end is told what it waits for.
const SAY: Duration = Duration::from_secs(2);

/// How many statements of the keeper can be under way at a time: one that hangs leaves the
/// renewals theirs.
pub const STATEMENTS_AT_ONCE: u32 = RENEWALS_AT_ONCE + 1;

/// How a worker keeps its shards.
#[derive(Clone, Copy, Debug)]
pub struct KeeperSettings {
    /// How long a lease lasts in the database.
    pub lease: Duration,
    /// Checkpoints that have moved are written this often.
    pub checkpoint_every: Duration,
    /// How long what is in the air may take when the worker is told to stop.
    pub grace: Duration,
}

/// Why a keeper has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Where its database was there is another one: nothing that this worker knows holds.
    AnotherDatabase,
}

/// What the statement that is under way is for.
#[derive(Debug)]
enum Doing {
    Heartbeat,
    Looking,
    Taking {
        cluster: String,
        live_workers: usize,
    },
    Collecting {
        cluster: String,
    },
    Checkpointing {
        shards: Vec<Shard>,
        read: Instant,
    },
    WritingLast(Vec<(Shard, Epoch)>),
    Releasing(Vec<(Shard, Epoch)>),
    Forgetting,
}

/// Whether the worker is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// It has been told; what is under way ends first.
    Told,
    /// Everything is being handed over. What cannot be by then is left to its lease.
    By(Instant),
}

/// The state machine that keeps a worker's shards.
#[derive(Debug)]
pub struct Keeper {
    settings: KeeperSettings,
    /// The cluster that the transaction ids of our checkpoints belong to.
    cluster: String,
    lease: Lease,
    backlog: Backlog,
    clock: DbClock,
    ownership: Ownership,
    /// How many renewals have no answer yet.
    renewals: usize,
    renew_at: Instant,
    /// Whether the last renewal failed, and the log says so.
    renewing_fails: bool,
    /// Whether something else has failed since all was well, and the log says so.
    fails: bool,
    /// After a failure nothing but renewals is tried before this.
    again_at: Instant,
    heartbeat_at: Instant,
    look_at: Instant,
    checkpoint_at: Instant,
    say_at: Instant,
    /// When the checkpoint of each shard was last written, or the shard taken.
    checkpointed: BTreeMap<Shard, Instant>,
    /// Shards were lost with outcomes unrecorded: those are written first, while nobody
    /// else has taken the shards, before they are taken again.
    settle_first: bool,
    drained: Vec<Drained>,
    doing: Option<(Doing, Instant)>,
    stop: Stop,
    ended: Option<Ended>,
    errands: Vec<Errand>,
}

impl Keeper {
    /// A keeper that holds nothing yet, in the cluster named.
    #[must_use]
    pub fn new(
        settings: KeeperSettings,
        cluster: String,
        lease: Lease,
        backlog: Backlog,
        clock: DbClock,
        now: Instant,
    ) -> Self {
        Self {
            ownership: Ownership::new(settings.lease),
            settings,
            cluster,
            lease,
            backlog,
            clock,
            renewals: 0,
            renew_at: now,
            renewing_fails: false,
            fails: false,
            again_at: now,
            heartbeat_at: now,
            look_at: now,
            checkpoint_at: now,
            say_at: now,
            checkpointed: BTreeMap::new(),
            settle_first: false,
            drained: Vec::new(),
            doing: None,
            stop: Stop::No,
            ended: None,
            errands: Vec::new(),
        }
    }

    /// Takes what has happened, if anything has, and does what is due.
    pub fn step(&mut self, input: Option<Input>, now: Instant) {
        match input {
            Some(Input::Stop) if self.stop == Stop::No => self.stop = Stop::Told,
            Some(Input::Stop) | None => {}
            Some(Input::Drained(drained)) => self.drained.push(drained),
            Some(Input::Renewed(renewal, answer)) => self.renewed(renewal, answer, now),
            Some(Input::Collected(moved)) => self.collected(moved, now),
            Some(Input::Answered(answer)) => self.answered(answer, now),
        }
        if self.ended.is_none() {
            self.keep_leases(now);
            self.go_on(now);
        }
    }

    /// What others are to do now, in this order.
    #[must_use]
    pub fn take_errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    /// When to step at the latest, whether anything has happened or not.
    #[must_use]
    pub fn next_wake(&self) -> Instant {
        let mut wake = self.renew_at;
        if self.renewals == 0 {
            wake = self.ownership.next_expiry().unwrap_or(wake).min(wake);
        }
        if self.doing.is_none() {
            let mut due = self.heartbeat_at.min(self.checkpoint_at);
            match self.stop {
                Stop::By(by) => wake = wake.min(by).min(self.say_at),
                Stop::Told | Stop::No => due = due.min(self.look_at),
            }
            wake = wake.min(due.max(self.again_at));
        }
        wake
    }

    /// Whether it has ended, and why.
    #[must_use]
    pub const fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// How many shards this worker holds.
    #[must_use]
    pub fn shards_held(&self) -> usize {
        self.ownership.shards().len()
    }

    /// The age of the checkpoint that has stood still for longest.
    #[must_use]
    pub fn checkpoint_age(&self, now: Instant) -> Duration {
        let oldest = self.checkpointed.values().min();
        oldest.map_or(Duration::ZERO, |oldest| now.duration_since(*oldest))
    }

    /// Begins what is due next, unless something is under way.
    fn go_on(&mut self, now: Instant) {
        if self.doing.is_some() {
            return;
        }
        if self.stop == Stop::Told {
            self.stop = Stop::By(now + self.settings.grace + HAND_OVER);
            self.say_at = now;
            self.leave(&self.ownership.shards());
        }
        if let Stop::By(by) = self.stop {
            if self.ownership.is_empty() || now >= by {
                return self.ask(Doing::Forgetting, Statement::ForgetWorker, now);
            }
            if now >= self.say_at {
                self.say_at = now + SAY;
                self.errands.push(Errand::SayWhatItWaitsFor { by });
            }
        }
        if !self.drained.is_empty() {
            self.release(now);
        }
        if self.doing.is_none() && now >= self.again_at {
            self.do_duties(now);
        }
    }

    /// The heartbeat comes first: a look at the fleet counts who is alive.
    fn do_duties(&mut self, now: Instant) {
        let settles = self.settle_first && !self.backlog.is_empty();
        if now >= self.look_at && settles {
            self.look_at = now + LOOK;
        }
        if now >= self.heartbeat_at {
            self.ask(Doing::Heartbeat, Statement::Heartbeat, now);
        } else if now >= self.look_at && self.stop == Stop::No {
            self.settle_first = false;
            self.ask(Doing::Looking, Statement::LookAtFleet, now);
        } else if now >= self.checkpoint_at {
            let cluster = self.cluster.clone();
            self.doing = Some((Doing::Collecting { cluster }, now));
            self.errands.push(Errand::Collect);
        } else {
            self.fails = false;
        }
    }

    /// Asks for a statement; what it may bring lasts no longer than it is waited for.
    fn ask(&mut self, doing: Doing, statement: Statement, now: Instant) {
        debug_assert!(self.doing.is_none(), "one statement at a time");
        let within = self.ownership.lasts().min(STATEMENT);
        self.doing = Some((doing, now));
        self.errands.push(Errand::Ask(statement, within));
    }

    /// Has these shards handed over.
    fn leave(&mut self, shards: &[Shard]) {
        let leaving = self.ownership.leave(shards);
        self.errands.push(Errand::Order(ShardOrder::Leave(leaving)));
    }

    /// Releases what the dispatcher has drained.
    fn release(&mut self, now: Instant) {
        let drained = std::mem::take(&mut self.drained);
        let Release {
            shards,
            checkpoints,
        } = self.ownership.to_release(drained);
        if shards.is_empty() {
            return;
        }
        let statement = Statement::WriteLastCheckpoints(Checkpointing {
            cluster: self.cluster.clone(),
            checkpoints,
        });
        self.ask(Doing::WritingLast(shards), statement, now);
    }
}
