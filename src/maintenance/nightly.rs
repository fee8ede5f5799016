//! What one worker of the fleet does at the times of a schedule.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::pending;

use chrono::{DateTime, Utc};
use cron::Schedule;
use tracing::{info, warn};

use super::LOOK_AGAIN;
use super::timetable::next_run;
use crate::flow::DbClock;
use crate::http::metrics::Metrics;

/// Runs something at each time of the schedule, which it is given; a run that fails is repeated
/// each minute until one worked. `meanwhile` is called now and then, to show what other workers
/// did. Never ends by itself: the worker takes a room that ends before its stop for broken.
pub async fn nightly<M, R, E>(
    what: &str,
    schedule: &Schedule,
    clock: &DbClock,
    metrics: &Metrics,
    meanwhile: impl Fn() -> M,
    run: impl Fn(DateTime<Utc>) -> R,
) -> Infallible
where
    M: Future<Output = ()>,
    R: Future<Output = Result<(), E>>,
    E: Display,
{
    let mut worked = true;
    let mut due = DateTime::default();
    loop {
        let Some(next) = next_run(schedule, clock.now(), worked) else {
            info!("the schedule of {what} has no further run");
            return pending().await;
        };
        if worked {
            due = next;
        }
        loop {
            meanwhile().await;
            // A time in the past is no positive span.
            match (next - clock.now()).to_std() {
                Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK_AGAIN)).await,
                _ => break,
            }
        }
        worked = match run(due).await {
            Ok(()) => true,
            Err(error) => {
                metrics.database_error();
                warn!(%error, "{what} failed; trying again in a minute");
                false
            }
        };
    }
}
