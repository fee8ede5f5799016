//! Partitions made ahead of time, closed days sealed, what is older than the retention
//! dropped, and payloads purged before that, on a cron schedule; audits on another, and
//! comparisons of the sources' tables on a third; and a look at what the sources could not
//! publish, and at those that have lost their triggers.

pub mod audit;
pub mod comparison;
pub mod failures;
pub mod nightly;
pub mod sources;
mod timetable;

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use crate::store::{Pool, StoreError, Transaction, within};
use chrono::{DateTime, Utc};
use cron::Schedule;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::flow::{DbClock, STATEMENT};
use crate::store::partitions::{drop_partitions, make_next_partition, purge_step};
use crate::store::seals::seal_step;
use crate::store::tokens::drop_sessions;
use crate::store::transactions::drop_transaction_subscriptions;
use crate::store::turn::take_turn;
use timetable::next_run;

/// How long a run may take. Making a partition moves the rows that came before it, which can take a
/// while; a connection that hangs must still not end maintenance for good.
const DEADLINE: Duration = Duration::from_mins(10);

/// The longest sleep without a look at the database's clock, which may have been
/// anchored anew.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// How long a worker lets another one go on with a job before it asks for the turn again.
const ANOTHERS: Duration = Duration::from_secs(1);

/// When the database is maintained, and what it keeps.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The times at which it runs, in UTC.
    pub schedule: Schedule,
    /// How many days after today have partitions.
    pub partitions_ahead_days: u16,
    /// How many days before today are kept.
    pub retention_days: u16,
    /// How many days before today keep their payloads; none for all.
    pub payload_days: Option<u16>,
}

/// Maintains the database at once, then on the schedule, until `stop`. A run that fails is repeated
/// each minute until one worked. Several workers may do this at once: the database lets one after
/// the other, and the later ones find nothing to do.
pub async fn run(pool: Pool, clock: DbClock, settings: Settings, stop: CancellationToken) {
    let rounds = Box::pin(rounds(&pool, &clock, &settings));
    stop.run_until_cancelled(rounds).await;
}

/// Runs without end: the worker takes a room that ends before its stop for broken.
async fn rounds(pool: &Pool, clock: &DbClock, settings: &Settings) -> Infallible {
    loop {
        let worked = maintain(pool, clock, settings).await;
        let Some(due) = next_run(&settings.schedule, clock.now(), worked) else {
            info!("the maintenance schedule has no further run");
            return pending().await;
        };
        wait_until(due, clock).await;
    }
}

/// Maintains the database once, and tells whether everything worked. Days that cannot be dropped do
/// not keep new ones from being made, nor the other way round.
async fn maintain(pool: &Pool, clock: &DbClock, settings: &Settings) -> bool {
    let ahead = settings.partitions_ahead_days;
    let made = make(pool, ahead).await;
    if let Err(error) = &made {
        warn!(%error, "cannot make partitions; trying again in a minute");
    }
    let sealed = seal(pool).await;
    if let Err(error) = &sealed {
        warn!(%error, "cannot seal a day; trying again in a minute");
    }
    let keep = settings.retention_days;
    let dropped = within(DEADLINE, drop_partitions(pool, keep)).await;
    match &dropped {
        Ok(names) if names.is_empty() => {}
        Ok(names) => info!(
            days = names.join(" "),
            retention_days = keep,
            "dropped partitions"
        ),
        Err(error) => warn!(%error, "cannot drop partitions; trying again in a minute"),
    }
    // After the days, whose events are what keeps them.
    let ended = within(DEADLINE, drop_transaction_subscriptions(pool, keep)).await;
    match &ended {
        Ok(0) => {}
        Ok(count) => info!(
            count,
            retention_days = keep,
            "dropped subscriptions of transactions without events"
        ),
        Err(error) => {
            warn!(%error, "cannot drop subscriptions of transactions; trying again in a minute");
        }
    }
    let purged = match settings.payload_days {
        Some(keep) => purge(pool, keep, clock.now()).await,
        None => Ok(()),
    };
    if let Err(error) = &purged {
        warn!(%error, "cannot purge payloads; trying again in a minute");
    }
    let sessions = within(DEADLINE, drop_sessions(pool)).await;
    match &sessions {
        Ok(0) => {}
        Ok(count) => info!(count, "dropped sessions that ended over an hour ago"),
        Err(error) => warn!(%error, "cannot drop sessions; trying again in a minute"),
    }
    made.is_ok()
        && sealed.is_ok()
        && dropped.is_ok()
        && ended.is_ok()
        && purged.is_ok()
        && sessions.is_ok()
}

async fn make(pool: &Pool, ahead: u16) -> Result<(), StoreError> {
    let mut made = 0;
    while let Some(name) = within(DEADLINE, make_next_partition(pool, ahead)).await? {
        debug!(name, "made a partition");
        made += 1;
    }
    if made > 0 {
        info!(made, ahead_days = ahead, "made partitions");
    }
    Ok(())
}

/// Seals each day that is closed, in steps. Whoever cannot make one waits until there are no more,
/// and drops no day meanwhile.
async fn seal(pool: &Pool) -> Result<(), StoreError> {
    loop {
        let mut turn = turn_at(pool, "posthorn.seals").await?;
        let step = within(DEADLINE, seal_step(&mut turn)).await?;
        within(STATEMENT, turn.commit()).await?;
        match step {
            None => return Ok(()),
            Some(step) if step.is_sealed => info!(day = %step.day, "sealed the day's records"),
            Some(_) => {}
        }
    }
}

/// Purges each day that is due, in steps. None is gone through twice since this run began, though
/// it may keep payloads.
async fn purge(pool: &Pool, keep: u16, began: DateTime<Utc>) -> Result<(), StoreError> {
    loop {
        let mut turn = turn_at(pool, "posthorn.purge").await?;
        let step = within(DEADLINE, purge_step(&mut turn, keep, began)).await?;
        within(STATEMENT, turn.commit()).await?;
        let Some(step) = step else {
            return Ok(());
        };
        if step.is_done {
            info!(day = %step.day, events = step.purged, payload_days = keep, "purged payloads");
        }
    }
}

/// Waits for the turn at a step.
async fn turn_at(pool: &Pool, name: &str) -> Result<Transaction, StoreError> {
    loop {
        if let Some(turn) = within(STATEMENT, take_turn(pool, name)).await? {
            return Ok(turn);
        }
        tokio::time::sleep(ANOTHERS).await;
    }
}

async fn wait_until(due: DateTime<Utc>, clock: &DbClock) {
    // A time in the past is no positive span: that ends the wait.
    while let Ok(left) = (due - clock.now()).to_std()
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(LOOK_AGAIN)).await;
    }
}
