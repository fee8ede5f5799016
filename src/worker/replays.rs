//! Carries replays out. Every worker looks; the database lets one at a time open the next
//! batch, so that nothing is lost or opened twice when one of them dies.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;
use uuid::Uuid;

use crate::flow::STATEMENT;
use crate::flow::input::Input;
use crate::flow::refill::Waiting;
use crate::http::metrics::Metrics;
use crate::store::replays::{advance_replays, count_replays, find_withdrawn};
use crate::store::{Pool, StoreError, within};

/// Between two looks while there is nothing to do: how soon a replay begins.
const IDLE: Duration = Duration::from_secs(1);

/// Between two looks while something runs, at least and at most: lanes learn of what another
/// worker has opened for them.
const SOON: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_millis(250);

/// Deliveries of a cancelled replay that are withdrawn at a time.
const WITHDRAWN: i64 = 500;

pub struct Replays {
    pub pool: Pool,
    /// Whose shards are looked after here.
    pub worker: Uuid,
    /// Learns what waits, and tells the dispatcher once that has the subscriptions.
    pub reader: UnboundedSender<Vec<Waiting>>,
    pub dispatcher: UnboundedSender<Input>,
    pub metrics: Metrics,
}

impl Replays {
    /// Never ends by itself: the worker takes a room that ends before its stop for broken.
    pub async fn run(self) -> Infallible {
        let mut away = false;
        loop {
            let pause = match self.step().await {
                Ok(pause) => {
                    away = false;
                    pause
                }
                Err(error) => {
                    self.metrics.database_error();
                    if !away {
                        warn!(%error, "cannot look after replays; trying until the database is back");
                    }
                    away = true;
                    IDLE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Opens what is due, and tells the lanes. Returns when to look again.
    async fn step(&self) -> Result<Duration, StoreError> {
        let Self {
            pool,
            worker,
            reader,
            dispatcher,
            metrics,
        } = self;
        let advanced = within(STATEMENT, advance_replays(pool)).await?;
        metrics.replayed(advanced.opened);
        metrics.set_replays(advanced.running);
        let waiting = within(STATEMENT, count_replays(pool, *worker)).await?;
        // Reader and dispatcher are gone only when the worker ends.
        let _ = reader.send(waiting);
        if advanced.running == 0 {
            return Ok(IDLE);
        }
        let withdrawn = within(STATEMENT, find_withdrawn(pool, *worker, WITHDRAWN)).await?;
        let _ = dispatcher.send(Input::Withdrawn(withdrawn));
        Ok(advanced.wait.map_or(LATE, |wait| wait.clamp(SOON, LATE)))
    }
}
