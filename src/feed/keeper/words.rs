//! What the keeper is told, and what it has others do.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::flow::shards::{Checkpoint, Drained, FleetView, Renewed, ShardOrder, Taken};
use crate::flow::{Away, input};
use crate::model::{Epoch, Shard};

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
    Tell(Box<input::Input>),
    /// Tell the reader.
    Order(ShardOrder),
    /// Say to whoever waits for the end what it waits for, and that it comes by then.
    SayWhatItWaitsFor {
        /// When the worker ends at the latest.
        by: Instant,
    },
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
