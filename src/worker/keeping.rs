//! Does the keeper's errands: its statements, and what it tells the dispatcher and the reader.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

use crate::crash::Point;
use crate::feed::keeper::{
    Answer, Checkpointing, Ended, Errand, Input, Keeper, Renewal, Statement,
};
use crate::flow::entry::Backlog;
use crate::flow::shards::{Condition, Drained, ShardOrder};
use crate::flow::{Away, input};
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::store::shards::{
    forget_worker, heartbeat, look_at_fleet, release_shards, renew_leases, take_shards,
    write_checkpoints,
};
use crate::store::{Pool, StoreError, within};

/// Who this worker is to the others.
#[derive(Clone, Debug)]
pub struct Identity {
    /// New at each start.
    pub id: Uuid,
    /// What people know it by.
    pub name: String,
    /// How long its leases last in the database.
    pub lease: Duration,
}

/// What the keeper's errands need.
pub struct Keeping {
    /// The worker whose shards these are.
    pub identity: Identity,
    /// Connections that nothing else waits for.
    pub pool: Pool,
    /// The dispatcher's inputs.
    pub dispatcher: UnboundedSender<input::Input>,
    /// The reader's orders.
    pub reader: UnboundedSender<ShardOrder>,
    /// How the worker is, for the others.
    pub condition: watch::Receiver<Condition>,
    /// What is yet to be recorded, for whoever waits for the end.
    pub backlog: Backlog,
    /// Counts the failures of the database, and shows the shards that are held.
    pub metrics: Metrics,
    /// Says whether the worker has shards.
    pub health: Health,
}

type UnderWay<'a> = FuturesUnordered<BoxFuture<'a, Input>>;

impl Keeping {
    /// Keeps shards until it is told to stop, and has handed them over.
    pub async fn run(
        self,
        mut keeper: Keeper,
        mut drained: UnboundedReceiver<Drained>,
        stop: CancellationToken,
    ) -> Ended {
        let mut under_way = UnderWay::new();
        let mut stops = false;
        keeper.step(None, Instant::now());
        loop {
            for errand in keeper.take_errands() {
                self.begin(errand, &keeper, &under_way);
            }
            self.show(&keeper);
            if let Some(ended) = keeper.ended() {
                return ended;
            }
            let input = tokio::select! {
                biased;
                Some(input) = under_way.next() => Some(input),
                () = stop.cancelled(), if !stops => {
                    stops = true;
                    Some(Input::Stop)
                }
                Some(drained) = drained.recv() => Some(Input::Drained(drained)),
                () = tokio::time::sleep_until(keeper.next_wake().into()) => None,
            };
            keeper.step(input, Instant::now());
        }
    }

    fn begin<'a>(&'a self, errand: Errand, keeper: &Keeper, under_way: &UnderWay<'a>) {
        match errand {
            Errand::Renew(renewal, lasts) => under_way.push(Box::pin(self.renew(renewal, lasts))),
            Errand::Ask(statement, limit) => under_way.push(Box::pin(self.ask(statement, limit))),
            Errand::Collect => under_way.push(Box::pin(self.collect())),
            // The dispatcher and the reader are gone only when the worker ends.
            Errand::Tell(input) => drop(self.dispatcher.send(*input)),
            Errand::Order(order) => drop(self.reader.send(order)),
            Errand::SayWhatItWaitsFor { by } => info!(
                in_flight = self.condition.borrow().in_flight,
                unrecorded = self.backlog.len(),
                shards = keeper.shards_held(),
                seconds_left = by.saturating_duration_since(Instant::now()).as_secs(),
                "stopping: waits for what is in the air, what is to be recorded and shards to hand over"
            ),
        }
    }

    fn show(&self, keeper: &Keeper) {
        let held = keeper.shards_held();
        self.metrics
            .set_checkpoint_age(keeper.checkpoint_age(Instant::now()));
        self.metrics.set_shards_held(held);
        self.health.set_owns_shards(held > 0);
    }

    async fn renew(&self, renewal: Renewal, lasts: Duration) -> Input {
        let Identity { id, lease, .. } = self.identity;
        let answer = renew_leases(&self.pool, id, lease, &renewal.named);
        let answer = within(lasts, answer).await;
        if answer.is_ok() {
            Point::LeaseRenewed.pass();
        }
        Input::Renewed(renewal, self.or_away(answer))
    }

    async fn ask(&self, statement: Statement, limit: Duration) -> Input {
        let answer = within(limit, self.execute(statement)).await;
        Input::Answered(self.or_away(answer))
    }

    async fn execute(&self, statement: Statement) -> Result<Answer, StoreError> {
        let Identity {
            id,
            ref name,
            lease,
        } = self.identity;
        let pool = &self.pool;
        Ok(match statement {
            Statement::Heartbeat => {
                let condition = self.condition.borrow().clone();
                Answer::Time(heartbeat(pool, id, name, lease, &condition).await?)
            }
            Statement::LookAtFleet => Answer::Fleet(look_at_fleet(pool, id, lease).await?),
            Statement::TakeShards { cluster, shards } => {
                let taken = take_shards(pool, id, lease, &cluster, &shards).await?;
                Point::ShardsTaken.pass();
                Answer::Taken(taken)
            }
            Statement::WriteCheckpoints(checkpointing) => {
                Point::BeforeCheckpoint.pass();
                self.write(checkpointing).await?;
                Point::AfterCheckpoint.pass();
                Answer::Done
            }
            Statement::WriteLastCheckpoints(checkpointing) => {
                Point::Drained.pass();
                self.write(checkpointing).await?;
                Answer::Done
            }
            Statement::ReleaseShards(shards) => {
                Point::BeforeRelease.pass();
                release_shards(pool, id, &shards).await?;
                Point::AfterRelease.pass();
                Answer::Done
            }
            Statement::ForgetWorker => {
                forget_worker(pool, id).await?;
                Answer::Done
            }
        })
    }

    async fn write(&self, checkpointing: Checkpointing) -> Result<(), StoreError> {
        let Checkpointing {
            cluster,
            checkpoints,
        } = checkpointing;
        write_checkpoints(&self.pool, self.identity.id, &cluster, &checkpoints).await
    }

    async fn collect(&self) -> Input {
        let (answer, moved) = oneshot::channel();
        // The dispatcher is gone only when the worker ends.
        let _ = self.dispatcher.send(input::Input::Checkpoints(answer));
        Input::Collected(moved.await.unwrap_or_default())
    }

    fn or_away<T>(&self, answer: Result<T, StoreError>) -> Result<T, Away> {
        answer.map_err(|error| {
            self.metrics.database_error();
            Away(error.to_string())
        })
    }
}
