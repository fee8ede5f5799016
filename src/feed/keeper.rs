//! Which shards this worker keeps: leases, checkpoints, taking and handing over. A state machine
//! without I/O: [`Keeper::step`] takes an input and a time, and [`Keeper::take_errands`] says
//! what others are to do. Which shards to take or leave is decided in [`super::ownership`].
//!
//! Renewing comes before everything else. Besides the renewals one statement is under way at
//! a time; no other statement delays a renewal, however long it hangs, and no renewal delays
//! the next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::ownership::{GivenUp, Ownership, RENEWALS_AT_ONCE};
use crate::flow::entry::Backlog;
use crate::flow::input;
use crate::flow::lease::Lease;
use crate::flow::shards::{Checkpoint, Drained, FleetView, Order, Renewed, Taken};
use crate::flow::{Away, DbClock, STATEMENT};
use crate::model::cluster::tables_of;
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

/// What the keeper is told.
#[derive(Debug)]
pub enum Input {
    /// Hand everything over, and end.
    Stop,
    /// The dispatcher has nothing of a shard in memory any more.
    Drained(Drained),
    /// A renewal has its answer, or has been waited for long enough.
    Renewed(Renewal, Result<Renewed, Away>),
    /// The dispatcher's answer to [`Errand::Collect`].
    Collected(Vec<Checkpoint>),
    /// The database's answer to [`Errand::Ask`].
    Answered(Result<Answer, Away>),
}

/// What the keeper has others do.
#[derive(Debug)]
pub enum Errand {
    /// Renew the leases; answered by [`Input::Renewed`] within the time that a lease lasts.
    Renew(Renewal, Duration),
    /// Ask the database, for so long at most; answered by [`Input::Answered`].
    Ask(Statement, Duration),
    /// Ask the dispatcher which checkpoints have moved; answered by [`Input::Collected`].
    Collect,
    /// Tell the dispatcher.
    Tell(input::Input),
    /// Tell the reader.
    Order(Order),
    /// Say to whoever waits for the end what it waits for, and that it comes by then.
    SayWhatItWaitsFor { by: Instant },
}

/// A renewal of all leases that this worker holds.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// When it was asked for: what it brings counts from then.
    pub asked: Instant,
    /// The cluster that this worker took itself to be in.
    pub cluster: String,
    /// The shards whose leases are to be renewed.
    pub named: Vec<(Shard, Epoch)>,
}

/// A statement that is not a renewal.
#[derive(Debug)]
pub enum Statement {
    /// Say that this worker is alive and how it is; answered by [`Answer::Time`].
    Heartbeat,
    /// Look at shards and workers; answered by [`Answer::Fleet`].
    LookAtFleet,
    /// Take these, in the cluster named; answered by [`Answer::Taken`].
    TakeShards {
        /// Only there: how a shard's events are read depends on it.
        cluster: String,
        /// What is free.
        shards: Vec<Shard>,
    },
    /// Write checkpoints that have moved; answered by [`Answer::Done`].
    WriteCheckpoints(Checkpointing),
    /// Write the checkpoints of shards that are about to be released; answered by
    /// [`Answer::Done`].
    WriteLastCheckpoints(Checkpointing),
    /// Leave these to other workers; answered by [`Answer::Done`].
    ReleaseShards(Vec<(Shard, Epoch)>),
    /// Take this worker out of the fleet; answered by [`Answer::Done`].
    ForgetWorker,
}

/// Checkpoints, and the cluster whose transaction ids they have.
#[derive(Debug)]
pub struct Checkpointing {
    /// The cluster at the moment when they were collected.
    pub cluster: String,
    /// What is to be written.
    pub checkpoints: Vec<Checkpoint>,
}

/// What the database answers.
#[derive(Debug)]
pub enum Answer {
    /// The heartbeat is noted, at this time of the database.
    Time(DateTime<Utc>),
    /// The fleet as it is.
    Fleet(FleetView),
    /// The shards that could be taken.
    Taken(Vec<Taken>),
    /// It is written.
    Done,
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
            None => {}
            Some(Input::Stop) if self.stop == Stop::No => self.stop = Stop::Told,
            Some(Input::Stop) => {}
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

    /// Sends a renewal if one is due. A lease may end while one is in the air: nothing is
    /// sent for its shards then ([`Lease`]), and the answer may still say that nobody has
    /// taken them. Without such an answer they are lost.
    fn keep_leases(&mut self, now: Instant) {
        if self.renewals == 0 {
            let expired = self.ownership.expire(now);
            if !expired.is_empty() {
                warn!(
                    shards = expired.len(),
                    "the leases could not be renewed in time"
                );
                self.lose(expired);
            }
        }
        if now < self.renew_at {
            return;
        }
        self.renew_at = now + self.ownership.renew_every();
        if self.ownership.next_expiry().is_none_or(|end| now < end) {
            let renewal = Renewal {
                asked: now,
                cluster: self.cluster.clone(),
                named: self.ownership.held(),
            };
            self.renewals += 1;
            let lasts = self.ownership.lasts();
            self.errands.push(Errand::Renew(renewal, lasts));
        }
    }

    fn renewed(&mut self, renewal: Renewal, answer: Result<Renewed, Away>, now: Instant) {
        assert!(
            self.renewals > 0,
            "an answer to a renewal that was asked for"
        );
        self.renewals -= 1;
        let renewed = match answer {
            Ok(renewed) => renewed,
            Err(error) => return self.could_not_renew(&error, now),
        };
        self.renewing_fails = false;
        // What came later has said that this is another cluster.
        if renewal.cluster != self.cluster {
            return;
        }
        if renewed.cluster != self.cluster {
            return self.is_elsewhere(renewed.cluster);
        }
        let Renewal { named, asked, .. } = renewal;
        let lost = self.ownership.renewed(&named, &renewed.ours, asked);
        if !lost.is_empty() {
            warn!(
                shards = lost.len(),
                "another worker has taken shards of this one"
            );
            self.lose(lost);
        }
        self.changed();
    }

    /// The next one is sent soon if it failed early, and has been sent if it hung.
    fn could_not_renew(&mut self, error: &Away, now: Instant) {
        if !self.renewing_fails {
            warn!(%error, "cannot renew the leases; trying until the database is back");
        }
        self.renewing_fails = true;
        self.renew_at = self.renew_at.min(now + AGAIN);
    }

    /// A renewal has reached another cluster than the last one.
    fn is_elsewhere(&mut self, cluster: String) {
        if tables_of(&cluster) == tables_of(&self.cluster) {
            info!("the server was restarted, or a standby took over; taking the shards anew");
        } else {
            warn!("another database is where this worker's was; starting over with that one");
            self.ended = Some(Ended::AnotherDatabase);
        }
        self.cluster = cluster;
        self.lose(self.ownership.shards());
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
            self.give_up(now);
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

    fn answered(&mut self, answer: Result<Answer, Away>, now: Instant) {
        let Some((doing, asked)) = self.doing.take() else {
            debug_assert!(false, "an answer to what was not asked");
            return;
        };
        match (doing, answer) {
            (Doing::Heartbeat, Ok(Answer::Time(time))) => {
                // Somewhere on the way: off by half of it at most.
                self.clock.anchor(asked + (now - asked) / 2, time);
                self.heartbeat_at = now + self.ownership.renew_every();
            }
            (Doing::Looking, Ok(Answer::Fleet(fleet))) => self.balance(&fleet, now),
            (
                Doing::Taking {
                    cluster,
                    live_workers,
                },
                Ok(Answer::Taken(taken)),
            ) => {
                self.look_at = now + LOOK;
                self.taken(taken, cluster, live_workers, asked);
            }
            (Doing::Checkpointing { shards, read }, Ok(_)) => {
                self.checkpoint_at = now + self.settings.checkpoint_every;
                for shard in shards {
                    // Not of one that was lost meanwhile.
                    self.checkpointed.entry(shard).and_modify(|at| *at = read);
                }
            }
            (Doing::WritingLast(shards), Ok(_)) => {
                let statement = Statement::ReleaseShards(shards.clone());
                self.ask(Doing::Releasing(shards), statement, now);
            }
            (Doing::Releasing(shards), Ok(_)) => self.gave_up(&shards),
            (Doing::WritingLast(shards) | Doing::Releasing(shards), Err(error)) => {
                warn!(%error, "cannot give up shards; they are free when their lease ends");
                self.gave_up(&shards);
            }
            (Doing::Forgetting, answer) => {
                if answer.is_err() || !self.ownership.is_empty() {
                    warn!(
                        "not everything could be handed over; the rest is free when its lease ends"
                    );
                }
                self.ended = Some(Ended::Stopped);
            }
            (_, Err(error)) => self.failed(&error, now),
            (doing, Ok(answer)) => debug_assert!(false, "{answer:?} is no answer to {doing:?}"),
        }
    }

    fn failed(&mut self, error: &Away, now: Instant) {
        if !self.fails {
            warn!(%error, "cannot keep the shards; trying until the database is back");
        }
        self.fails = true;
        self.again_at = now + AGAIN;
    }

    fn balance(&mut self, fleet: &FleetView, now: Instant) {
        let balance = self.ownership.balance(fleet);
        let live_workers = fleet.live_workers;
        if !balance.leave.is_empty() {
            info!(
                shards = balance.leave.len(),
                live_workers, "handing shards over"
            );
            self.leave(&balance.leave);
        }
        if balance.take.is_empty() {
            self.look_at = now + LOOK;
            return;
        }
        let cluster = self.cluster.clone();
        let statement = Statement::TakeShards {
            cluster: cluster.clone(),
            shards: balance.take,
        };
        let doing = Doing::Taking {
            cluster,
            live_workers,
        };
        self.ask(doing, statement, now);
    }

    fn taken(&mut self, taken: Vec<Taken>, cluster: String, live_workers: usize, asked: Instant) {
        // A renewal has said meanwhile that this is another one.
        if self.cluster != cluster {
            return;
        }
        info!(shards = taken.len(), live_workers, "took shards");
        for taken in &taken {
            self.ownership.taken(taken.shard, taken.epoch, asked);
            self.checkpointed.insert(taken.shard, asked);
        }
        self.changed();
        self.errands
            .push(Errand::Order(Order::Adopt { taken, cluster }));
    }

    fn collected(&mut self, checkpoints: Vec<Checkpoint>, now: Instant) {
        let Some((Doing::Collecting { cluster }, _)) = self.doing.take() else {
            debug_assert!(false, "checkpoints that were not asked for");
            return;
        };
        if checkpoints.is_empty() {
            self.checkpoint_at = now + self.settings.checkpoint_every;
            return;
        }
        let doing = Doing::Checkpointing {
            shards: checkpoints.iter().map(|(shard, ..)| *shard).collect(),
            read: now,
        };
        let statement = Statement::WriteCheckpoints(Checkpointing {
            cluster,
            checkpoints,
        });
        self.ask(doing, statement, now);
    }

    /// Has these shards handed over.
    fn leave(&mut self, shards: &[Shard]) {
        let leaving = self.ownership.leaving(shards);
        self.errands.push(Errand::Order(Order::Leave(leaving)));
    }

    /// Gives up what the dispatcher has drained.
    fn give_up(&mut self, now: Instant) {
        let drained = std::mem::take(&mut self.drained);
        let GivenUp {
            shards,
            checkpoints,
        } = self.ownership.to_give_up(drained);
        if shards.is_empty() {
            return;
        }
        let statement = Statement::WriteLastCheckpoints(Checkpointing {
            cluster: self.cluster.clone(),
            checkpoints,
        });
        self.ask(Doing::WritingLast(shards), statement, now);
    }

    fn gave_up(&mut self, shards: &[(Shard, Epoch)]) {
        for (shard, epoch) in shards {
            self.ownership.gone_under(*shard, *epoch);
        }
        info!(shards = shards.len(), "handed shards over");
        self.changed();
    }

    /// Nothing may be sent for these from now on.
    fn lose(&mut self, shards: Vec<Shard>) {
        for shard in &shards {
            self.ownership.gone(*shard);
        }
        self.settle_first = true;
        self.lease.lost();
        let lost = input::Input::Lost(shards.clone());
        self.errands.push(Errand::Tell(lost));
        self.errands.push(Errand::Order(Order::Drop(shards)));
        self.changed();
    }

    fn changed(&mut self) {
        let held = self.ownership.shards();
        self.checkpointed.retain(|shard, _| held.contains(shard));
        self.lease.set(self.ownership.next_expiry());
    }
}
