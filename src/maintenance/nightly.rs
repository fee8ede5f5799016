//! What one worker of the fleet does at the times of a schedule.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::pending;

use chrono::{DateTime, Utc};
use cron::Schedule;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::LOOK_AGAIN;
use super::timetable::next_run;
use crate::flow::DbClock;
use crate::http::metrics::Metrics;
use crate::store::Pool;

/// A task that one worker of the fleet does at the times of a schedule.
pub struct Nightly<T> {
    /// The database that it is about.
    pub pool: Pool,
    /// The database's time.
    pub clock: DbClock,
    /// Where it is counted what came of it.
    pub metrics: Metrics,
    /// The times at which it runs, in UTC.
    pub schedule: Schedule,
    /// What the task needs to know beside that.
    pub task: T,
}

/// What a task does.
pub trait Runs {
    /// Why a run may fail.
    type Failed: Display;

    /// What the task is called in the log.
    const NAME: &str;

    /// Shows what this worker and others found last.
    fn show(&self) -> impl Future<Output = ()> + Send;

    /// Does what was due at a time, unless another worker is at it or has done so.
    fn run(&self, due: DateTime<Utc>) -> impl Future<Output = Result<(), Self::Failed>> + Send;
}

impl<T> Nightly<T>
where
    Self: Runs,
{
    /// Runs on the schedule until `stop`. A run that fails is repeated each minute until one
    /// worked.
    pub async fn until(self, stop: CancellationToken) {
        stop.run_until_cancelled(Box::pin(self.rounds())).await;
    }

    /// Never ends by itself: the worker takes a room that ends before its stop for broken.
    async fn rounds(&self) -> Infallible {
        let what = Self::NAME;
        let mut worked = true;
        let mut due = DateTime::default();
        loop {
            let Some(next) = next_run(&self.schedule, self.clock.now(), worked) else {
                info!("the schedule of {what} has no further run");
                return pending().await;
            };
            if worked {
                due = next;
            }
            loop {
                self.show().await;
                // A time in the past is no positive span.
                match (next - self.clock.now()).to_std() {
                    Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK_AGAIN)).await,
                    _ => break,
                }
            }
            worked = match self.run(due).await {
                Ok(()) => true,
                Err(error) => {
                    self.metrics.database_error();
                    warn!(%error, "{what} failed; trying again in a minute");
                    false
                }
            };
        }
    }
}
