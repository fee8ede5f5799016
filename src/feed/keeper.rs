//! The loop that keeps this worker's shards: leases, checkpoints, taking and handing over.
//! What to do is decided in [`super::ownership`].

use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::lease::Lease;
use super::ownership::{GivenUp, Ownership};
use super::reader::Order;
use crate::crash::Point;
use crate::dispatch::input::{Drained, Input};
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::model::{Epoch, Shard, Snapshot};
use crate::record::Backlog;
use crate::store::shards::{
    Condition, cluster_and_time, forget_worker, heartbeat, look_at_fleet, release_shards,
    renew_leases, take_shards, write_checkpoints,
};
use crate::store::{DbClock, Pool, StoreError, within};

/// How often the loop looks at its clock.
const TICK: Duration = Duration::from_millis(100);

/// How often it looks for free shards: a dead worker's are taken this soon after its lease.
const LOOK: Duration = Duration::from_millis(500);

/// How long handing over may take beyond the grace period for what is in the air.
const HAND_OVER: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct KeeperSettings {
    /// Of the worker; new at each start.
    pub id: Uuid,
    pub name: String,
    pub lease: Duration,
    pub checkpoint_every: Duration,
    pub grace: Duration,
}

pub struct Wiring {
    pub pool: Pool,
    pub dispatcher: UnboundedSender<Input>,
    pub reader: UnboundedSender<Order>,
    pub drained: UnboundedReceiver<Drained>,
    pub condition: watch::Receiver<Condition>,
    pub backlog: Backlog,
    pub lease: Lease,
    pub clock: DbClock,
    pub metrics: Metrics,
    pub health: Health,
}

pub struct Keeper {
    settings: KeeperSettings,
    with: Wiring,
    ownership: Ownership,
    /// The cluster that the transaction ids of our checkpoints belong to.
    cluster: String,
    renew_at: Instant,
    look_at: Instant,
    checkpoint_at: Instant,
    /// When a checkpoint last moved on.
    checkpointed: Instant,
    /// Shards were lost with outcomes unrecorded: those are written first, while nobody
    /// else has taken the shards, before they are taken again.
    settle_first: bool,
}

impl Keeper {
    #[must_use]
    pub fn new(settings: KeeperSettings, cluster: String, with: Wiring) -> Self {
        let now = Instant::now();
        Self {
            ownership: Ownership::new(settings.lease),
            settings,
            with,
            cluster,
            renew_at: now,
            look_at: now,
            checkpoint_at: now,
            checkpointed: now,
            settle_first: false,
        }
    }

    /// Keeps shards until it is told to stop, then hands them all over. What cannot be
    /// handed over in time is left to its lease.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut stop_by: Option<Instant> = None;
        let mut said = false;
        loop {
            if stop.is_cancelled() && stop_by.is_none() {
                stop_by = Some(Instant::now() + self.settings.grace + HAND_OVER);
                self.leave(&self.ownership.shards());
            }
            if let Some(by) = stop_by
                && (self.ownership.is_empty() || Instant::now() >= by)
            {
                break;
            }
            match self.tick(stop_by.is_some()).await {
                Ok(()) => said = false,
                Err(error) => {
                    self.with.metrics.database_error();
                    if !said {
                        warn!(%error, "cannot keep the leases; trying until the database is back");
                    }
                    said = true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = stop.cancelled(), if stop_by.is_none() => {}
                drained = self.with.drained.recv() => if let Some(drained) = drained {
                    self.release(drained).await;
                }
            }
        }
        let forgotten = self
            .ask(forget_worker(&self.with.pool, self.settings.id))
            .await;
        if forgotten.is_err() || !self.ownership.is_empty() {
            warn!("not everything could be handed over; the rest is free when its lease ends");
        }
    }

    async fn tick(&mut self, stopping: bool) -> Result<(), StoreError> {
        let now = Instant::now();
        let expired = self.ownership.expire(now);
        if !expired.is_empty() {
            warn!(
                shards = expired.len(),
                "the leases could not be renewed in time"
            );
            self.lose(expired);
        }
        if now >= self.renew_at {
            self.renew().await?;
            self.renew_at = now + self.ownership.renew_every();
        }
        if now >= self.look_at && !stopping {
            self.balance().await?;
            self.look_at = now + LOOK;
        }
        if now >= self.checkpoint_at {
            self.write_checkpoints().await?;
            self.checkpoint_at = now + self.settings.checkpoint_every;
        }
        self.with
            .metrics
            .set_checkpoint_age(self.checkpointed.elapsed());
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), StoreError> {
        let Wiring { pool, clock, .. } = &self.with;
        let asked = Instant::now();
        let (cluster, time) = self.ask(cluster_and_time(pool)).await?;
        clock.anchor(Instant::now(), time);
        if cluster != self.cluster {
            warn!(
                before = self.cluster,
                now = cluster,
                "this is another cluster, or a failover; starting over"
            );
            self.cluster = cluster;
            self.lose(self.ownership.shards());
        }
        let Wiring {
            pool, condition, ..
        } = &self.with;
        let KeeperSettings {
            id, name, lease, ..
        } = &self.settings;
        let condition = condition.borrow().clone();
        self.ask(heartbeat(pool, *id, name, *lease, &condition))
            .await?;
        let held = self.ownership.held();
        let ours = self
            .ask(renew_leases(
                pool,
                self.settings.id,
                self.settings.lease,
                &held,
            ))
            .await?;
        Point::LeaseRenewed.pass();
        let lost = self.ownership.renewed(&ours, asked);
        if !lost.is_empty() {
            warn!(shards = ?lost, "another worker has taken these shards");
            self.lose(lost);
        }
        self.changed();
        Ok(())
    }

    async fn balance(&mut self) -> Result<(), StoreError> {
        if self.settle_first && !self.with.backlog.is_empty() {
            return Ok(());
        }
        self.settle_first = false;
        let Wiring { pool, .. } = &self.with;
        let KeeperSettings { id, lease, .. } = self.settings;
        let fleet = self.ask(look_at_fleet(pool, id, lease)).await?;
        let balance = self.ownership.balance(&fleet);
        if !balance.take.is_empty() {
            let asked = Instant::now();
            let taken = self
                .ask(take_shards(pool, id, lease, &balance.take))
                .await?;
            Point::ShardsTaken.pass();
            info!(
                shards = taken.len(),
                live_workers = fleet.live_workers,
                "took shards"
            );
            for taken in &taken {
                self.ownership.taken(taken.shard, taken.epoch, asked);
            }
            self.changed();
            self.order(Order::Adopt {
                taken,
                cluster: self.cluster.clone(),
            });
        }
        if !balance.leave.is_empty() {
            info!(
                shards = balance.leave.len(),
                live_workers = fleet.live_workers,
                "handing shards over"
            );
            self.leave(&balance.leave);
        }
        Ok(())
    }

    async fn write_checkpoints(&mut self) -> Result<(), StoreError> {
        let (answer, moved) = oneshot::channel();
        // The dispatcher is gone only when the worker ends.
        let _ = self.with.dispatcher.send(Input::Checkpoints(answer));
        let moved = moved.await.unwrap_or_default();
        if moved.is_empty() {
            return Ok(());
        }
        self.checkpointed = Instant::now();
        Point::BeforeCheckpoint.pass();
        self.ask(write_checkpoints(
            &self.with.pool,
            self.settings.id,
            &self.cluster,
            &moved,
        ))
        .await?;
        Point::AfterCheckpoint.pass();
        Ok(())
    }

    fn leave(&mut self, shards: &[Shard]) {
        let leaving = self.ownership.leaving(shards);
        self.order(Order::Leave(leaving));
    }

    async fn release(&mut self, first: Drained) {
        let mut drained = vec![first];
        while let Ok(next) = self.with.drained.try_recv() {
            drained.push(next);
        }
        let GivenUp {
            shards: gone,
            checkpoints,
        } = self.ownership.to_give_up(drained);
        if let Err(error) = self.give_up(&gone, &checkpoints).await {
            warn!(%error, "cannot give up shards; they are free when their lease ends");
        }
        for (shard, _) in &gone {
            self.ownership.gone(*shard);
        }
        info!(shards = gone.len(), "handed shards over");
        self.changed();
    }

    async fn give_up(
        &self,
        shards: &[(Shard, Epoch)],
        checkpoints: &[(Shard, Epoch, Snapshot)],
    ) -> Result<(), StoreError> {
        let Wiring { pool, .. } = &self.with;
        let id = self.settings.id;
        Point::Drained.pass();
        self.ask(write_checkpoints(pool, id, &self.cluster, checkpoints))
            .await?;
        Point::BeforeRelease.pass();
        self.ask(release_shards(pool, id, shards)).await?;
        Point::AfterRelease.pass();
        Ok(())
    }

    /// Nothing may be sent for these from now on.
    fn lose(&mut self, shards: Vec<Shard>) {
        for shard in &shards {
            self.ownership.gone(*shard);
        }
        self.settle_first = true;
        // The dispatcher is gone only when the worker ends.
        let _ = self.with.dispatcher.send(Input::Lost(shards.clone()));
        self.order(Order::Drop(shards));
        self.changed();
    }

    fn changed(&self) {
        self.with.lease.set(self.ownership.next_expiry());
        self.with
            .metrics
            .set_shards_held(self.ownership.held().len());
        self.with.health.set_owns_shards(!self.ownership.is_empty());
    }

    fn order(&self, order: Order) {
        // The reader is gone only when the worker ends.
        let _ = self.with.reader.send(order);
    }

    /// A statement that hangs must not keep the loop from noticing that its leases run
    /// out.
    async fn ask<T>(
        &self,
        statement: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let now = Instant::now();
        let expiry = self
            .ownership
            .next_expiry()
            .map(|at| at.saturating_duration_since(now));
        let most = self.settings.lease / 3;
        within(expiry.map_or(most, |expiry| expiry.min(most)), statement).await
    }
}
