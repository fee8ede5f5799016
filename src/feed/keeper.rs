//! The loop that keeps this worker's shards: leases, checkpoints, taking and handing over.
//! What to do is decided in [`super::ownership`].
//!
//! Renewing comes before everything else. Whatever the loop waits for, it waits by way of
//! [`Keeper::meanwhile`], which sends each renewal when it is due and takes its answer: no
//! other statement delays one, however long it hangs, and no renewal delays the next.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::ownership::{GivenUp, Ownership, RENEWALS_AT_ONCE};
use crate::crash::Point;
use crate::flow::entry::Backlog;
use crate::flow::input::Input;
use crate::flow::lease::Lease;
use crate::flow::shards::{Condition, Drained, Order, Renewed};
use crate::flow::{DbClock, STATEMENT};
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::model::cluster::tables_of;
use crate::model::{Epoch, Shard, Snapshot};
use crate::store::shards::{
    forget_worker, heartbeat, look_at_fleet, release_shards, renew_leases, take_shards,
    write_checkpoints,
};
use crate::store::{Pool, StoreError, within};

/// How often the loop looks at its clock.
const TICK: Duration = Duration::from_millis(100);

/// How often it looks for free shards: a dead worker's are taken this soon after its lease.
const LOOK: Duration = Duration::from_millis(500);

/// How long handing over may take beyond the grace period for what is in the air.
const HAND_OVER: Duration = Duration::from_secs(10);

/// How often somebody who waits for the end is told what it waits for.
const SAY: Duration = Duration::from_secs(2);

/// What the keeper's statements may hold at a time: one that hangs leaves the renewals
/// theirs.
pub const CONNECTIONS: u32 = RENEWALS_AT_ONCE + 1;

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
    renewals: FuturesUnordered<BoxFuture<'static, Renewal>>,
    renew_at: Instant,
    /// The last renewal failed, and the log says so.
    renewing_fails: bool,
    heartbeat_at: Instant,
    look_at: Instant,
    checkpoint_at: Instant,
    /// When the checkpoint of each shard was last written, or the shard taken.
    checkpointed: BTreeMap<Shard, Instant>,
    /// Shards were lost with outcomes unrecorded: those are written first, while nobody
    /// else has taken the shards, before they are taken again.
    settle_first: bool,
    another_database: bool,
}

/// Why a keeper has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Where its database was there is another one: nothing that this worker knows holds.
    AnotherDatabase,
}

/// A renewal that has its answer, or has been waited for long enough.
struct Renewal {
    asked: Instant,
    /// The cluster that this worker took itself to be in.
    cluster: String,
    named: Vec<(Shard, Epoch)>,
    answer: Result<Renewed, StoreError>,
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
            renewals: FuturesUnordered::new(),
            renew_at: now,
            renewing_fails: false,
            heartbeat_at: now,
            look_at: now,
            checkpoint_at: now,
            checkpointed: BTreeMap::new(),
            settle_first: false,
            another_database: false,
        }
    }

    fn say_what_it_waits_for(&self, by: Instant) {
        let in_flight = self.with.condition.borrow().in_flight;
        info!(
            in_flight,
            unrecorded = self.with.backlog.len(),
            shards = self.ownership.shards().len(),
            seconds_left = by.saturating_duration_since(Instant::now()).as_secs(),
            "stopping: waits for what is in the air, what is to be recorded and shards to hand over"
        );
    }

    /// Keeps shards until it is told to stop, then hands them all over. What cannot be
    /// handed over in time is left to its lease.
    pub async fn run(
        mut self,
        mut drained: UnboundedReceiver<Drained>,
        stop: CancellationToken,
    ) -> Ended {
        let mut stop_by: Option<Instant> = None;
        let mut said = false;
        let mut say_at = Instant::now();
        loop {
            if stop.is_cancelled() && stop_by.is_none() {
                stop_by = Some(Instant::now() + self.settings.grace + HAND_OVER);
                self.leave(&self.ownership.shards());
                say_at = Instant::now();
            }
            if let Some(by) = stop_by
                && (self.ownership.is_empty() || Instant::now() >= by)
            {
                break;
            }
            if let Some(by) = stop_by
                && Instant::now() >= say_at
            {
                say_at += SAY;
                self.say_what_it_waits_for(by);
            }
            let ticked = self.tick(stop_by.is_some()).await;
            let age = self.checkpoint_age(Instant::now());
            self.with.metrics.set_checkpoint_age(age);
            match ticked {
                Ok(()) => said = false,
                Err(error) => {
                    self.with.metrics.database_error();
                    if !said {
                        warn!(%error, "cannot keep the shards; trying until the database is back");
                    }
                    said = true;
                }
            }
            let next = async {
                tokio::select! {
                    () = tokio::time::sleep(TICK) => None,
                    () = stop.cancelled(), if stop_by.is_none() => None,
                    drained = drained.recv() => drained,
                }
            };
            if let Some(first) = self.meanwhile(next).await {
                self.release(first, &mut drained).await;
            }
            if self.another_database {
                return Ended::AnotherDatabase;
            }
        }
        let (pool, id) = (self.with.pool.clone(), self.settings.id);
        let forgotten = self.ask(forget_worker(&pool, id)).await;
        if forgotten.is_err() || !self.ownership.is_empty() {
            warn!("not everything could be handed over; the rest is free when its lease ends");
        }
        Ended::Stopped
    }

    async fn tick(&mut self, stopping: bool) -> Result<(), StoreError> {
        let now = Instant::now();
        // Before the first look at the fleet, which counts who is alive.
        if now >= self.heartbeat_at {
            self.tell_condition().await?;
            self.heartbeat_at = now + self.ownership.renew_every();
        }
        if now >= self.look_at && !stopping {
            self.balance().await?;
            self.look_at = now + LOOK;
        }
        if now >= self.checkpoint_at {
            self.write_checkpoints().await?;
            self.checkpoint_at = now + self.settings.checkpoint_every;
        }
        Ok(())
    }

    /// Of the shard whose checkpoint has stood still for longest.
    fn checkpoint_age(&self, now: Instant) -> Duration {
        let oldest = self.checkpointed.values().min();
        oldest.map_or(Duration::ZERO, |oldest| now.duration_since(*oldest))
    }

    /// Waits for something, and keeps the leases meanwhile.
    async fn meanwhile<T>(&mut self, something: impl Future<Output = T>) -> T {
        let mut something = pin!(something);
        loop {
            self.keep_leases();
            tokio::select! {
                biased;
                Some(renewal) = self.renewals.next() => self.take(renewal),
                () = tokio::time::sleep_until(self.renew_at.into()) => {}
                done = &mut something => return done,
            }
        }
    }

    /// Sends a renewal if one is due. A lease may end while one is in the air: nothing is
    /// sent for its shards then ([`Lease`]), and the answer may still say that nobody has
    /// taken them. Without such an answer they are lost.
    fn keep_leases(&mut self) {
        let now = Instant::now();
        if self.renewals.is_empty() {
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
            self.renewals.push(self.renewal(now));
        }
    }

    fn renewal(&self, asked: Instant) -> BoxFuture<'static, Renewal> {
        let pool = self.with.pool.clone();
        let KeeperSettings { id, lease, .. } = self.settings;
        let cluster = self.cluster.clone();
        let named = self.ownership.held();
        let lasts = self.ownership.lasts();
        Box::pin(async move {
            let answer = within(lasts, renew_leases(&pool, id, lease, &named)).await;
            Renewal {
                asked,
                cluster,
                named,
                answer,
            }
        })
    }

    fn take(&mut self, renewal: Renewal) {
        let renewed = match renewal.answer {
            Ok(renewed) => renewed,
            Err(error) => return self.could_not_renew(&error),
        };
        self.renewing_fails = false;
        // What came later has said that this is another cluster.
        if renewal.cluster != self.cluster {
            return;
        }
        if renewed.cluster != self.cluster {
            self.another_database = tables_of(&renewed.cluster) != tables_of(&self.cluster);
            if self.another_database {
                warn!("another database is where this worker's was; starting over with that one");
            } else {
                info!("the server was restarted, or a standby took over; taking the shards anew");
            }
            self.cluster = renewed.cluster;
            self.lose(self.ownership.shards());
            return;
        }
        Point::LeaseRenewed.pass();
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
    fn could_not_renew(&mut self, error: &StoreError) {
        self.with.metrics.database_error();
        if !self.renewing_fails {
            warn!(%error, "cannot renew the leases; trying until the database is back");
        }
        self.renewing_fails = true;
        self.renew_at = self.renew_at.min(Instant::now() + TICK);
    }

    async fn tell_condition(&mut self) -> Result<(), StoreError> {
        let pool = self.with.pool.clone();
        let KeeperSettings {
            id, name, lease, ..
        } = self.settings.clone();
        let condition = self.with.condition.borrow().clone();
        let asked = Instant::now();
        let time = self
            .ask(heartbeat(&pool, id, &name, lease, &condition))
            .await?;
        // Somewhere on the way: off by half of it at most.
        self.with.clock.anchor(asked + asked.elapsed() / 2, time);
        Ok(())
    }

    async fn balance(&mut self) -> Result<(), StoreError> {
        if self.settle_first && !self.with.backlog.is_empty() {
            return Ok(());
        }
        self.settle_first = false;
        let pool = self.with.pool.clone();
        let KeeperSettings { id, lease, .. } = self.settings;
        let fleet = self.ask(look_at_fleet(&pool, id, lease)).await?;
        let balance = self.ownership.balance(&fleet);
        if !balance.take.is_empty() {
            let cluster = self.cluster.clone();
            let asked = Instant::now();
            let taken = self
                .ask(take_shards(&pool, id, lease, &cluster, &balance.take))
                .await?;
            // A renewal has said meanwhile that this is another one.
            if self.cluster != cluster {
                return Ok(());
            }
            Point::ShardsTaken.pass();
            info!(
                shards = taken.len(),
                live_workers = fleet.live_workers,
                "took shards"
            );
            for taken in &taken {
                self.ownership.taken(taken.shard, taken.epoch, asked);
                self.checkpointed.insert(taken.shard, asked);
            }
            self.changed();
            self.order(Order::Adopt { taken, cluster });
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
        let pool = self.with.pool.clone();
        // That of now: it may be another one before the checkpoints are written.
        let cluster = self.cluster.clone();
        let (answer, moved) = oneshot::channel();
        // The dispatcher is gone only when the worker ends.
        let _ = self.with.dispatcher.send(Input::Checkpoints(answer));
        let moved = self.meanwhile(moved).await.unwrap_or_default();
        if moved.is_empty() {
            return Ok(());
        }
        let read = Instant::now();
        Point::BeforeCheckpoint.pass();
        self.ask(write_checkpoints(&pool, self.settings.id, &cluster, &moved))
            .await?;
        for (shard, ..) in &moved {
            // Not of one that was lost meanwhile.
            self.checkpointed.entry(*shard).and_modify(|at| *at = read);
        }
        Point::AfterCheckpoint.pass();
        Ok(())
    }

    fn leave(&mut self, shards: &[Shard]) {
        let leaving = self.ownership.leaving(shards);
        self.order(Order::Leave(leaving));
    }

    async fn release(&mut self, first: Drained, more: &mut UnboundedReceiver<Drained>) {
        let mut drained = vec![first];
        while let Ok(next) = more.try_recv() {
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
        &mut self,
        shards: &[(Shard, Epoch)],
        checkpoints: &[(Shard, Epoch, Snapshot)],
    ) -> Result<(), StoreError> {
        let pool = self.with.pool.clone();
        let cluster = self.cluster.clone();
        let id = self.settings.id;
        Point::Drained.pass();
        self.ask(write_checkpoints(&pool, id, &cluster, checkpoints))
            .await?;
        Point::BeforeRelease.pass();
        self.ask(release_shards(&pool, id, shards)).await?;
        Point::AfterRelease.pass();
        Ok(())
    }

    /// Nothing may be sent for these from now on.
    fn lose(&mut self, shards: Vec<Shard>) {
        for shard in &shards {
            self.ownership.gone(*shard);
        }
        self.settle_first = true;
        self.with.lease.lost();
        // The dispatcher is gone only when the worker ends.
        let _ = self.with.dispatcher.send(Input::Lost(shards.clone()));
        self.order(Order::Drop(shards));
        self.changed();
    }

    fn changed(&mut self) {
        let held = self.ownership.shards();
        self.checkpointed.retain(|shard, _| held.contains(shard));
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

    /// Has a statement executed that is not a renewal. What it may bring lasts no longer
    /// than it is waited for.
    async fn ask<T>(
        &mut self,
        statement: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = self.ownership.lasts().min(STATEMENT);
        self.meanwhile(within(deadline, statement)).await
    }
}
