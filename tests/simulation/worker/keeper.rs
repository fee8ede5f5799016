//! `Keeper::run`, around the real `Ownership` and `Lease`.

use std::rc::Rc;
use std::time::{Duration, Instant};

use posthorn::dispatch::input::{Drained, Input};
use posthorn::feed::lease::Lease;
use posthorn::feed::ownership::{GivenUp, Ownership};
use posthorn::feed::reader::Order;
use posthorn::model::{Epoch, Shard, Snapshot};
use posthorn::record::Backlog;
use posthorn::store::DbClock;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

use super::Own;
use crate::database::Database;
use crate::link::Away;

const TICK: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(500);
const HAND_OVER: Duration = Duration::from_secs(10);

pub struct Keeper {
    own: Rc<Own>,
    cluster: String,
    clock: DbClock,
    lease: Lease,
    backlog: Backlog,
    dispatcher: UnboundedSender<Input>,
    reader: UnboundedSender<Order>,
    ownership: Ownership,
    renew_at: Instant,
    look_at: Instant,
    checkpoint_at: Instant,
    settle_first: bool,
}

impl Keeper {
    pub fn new(
        own: Rc<Own>,
        cluster: String,
        clock: DbClock,
        lease: Lease,
        backlog: Backlog,
        dispatcher: UnboundedSender<Input>,
        reader: UnboundedSender<Order>,
    ) -> Self {
        let now = own.now();
        Self {
            ownership: Ownership::new(own.world.scenario.lease),
            own,
            cluster,
            clock,
            lease,
            backlog,
            dispatcher,
            reader,
            renew_at: now,
            look_at: now,
            checkpoint_at: now,
            settle_first: false,
        }
    }

    pub async fn run(
        mut self,
        mut drained: UnboundedReceiver<Drained>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut stop_by: Option<Instant> = None;
        loop {
            if *stop.borrow() && stop_by.is_none() {
                stop_by = Some(self.own.now() + self.own.world.scenario.grace + HAND_OVER);
                self.leave(&self.ownership.shards());
            }
            if let Some(by) = stop_by
                && (self.ownership.is_empty() || self.own.now() >= by)
            {
                break;
            }
            // Tried again at the next tick.
            let _ = self.tick(stop_by.is_some()).await;
            tokio::select! {
                biased;
                drained_now = drained.recv() => if let Some(first) = drained_now {
                    self.release(first, &mut drained).await;
                },
                Ok(()) = stop.changed(), if stop_by.is_none() => {}
                () = self.own.sleep(TICK) => {}
            }
        }
        let id = self.own.id;
        let _ = self
            .ask("forget worker", move |database| database.forget_worker(id))
            .await;
        let (world, process) = (Rc::clone(&self.own.world), self.own.process);
        world.note(format_args!("{process} has stopped"));
        world.executor.kill(process);
    }

    async fn tick(&mut self, stopping: bool) -> Result<(), Away> {
        let now = self.own.now();
        let expired = self.ownership.expire(now);
        if !expired.is_empty() {
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
            self.checkpoint_at = now + self.own.world.scenario.checkpoint_every;
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Away> {
        let asked = self.own.now();
        let (cluster, time) = self
            .ask("cluster and time", |database| {
                (database.cluster(), database.now())
            })
            .await?;
        self.clock.anchor(self.own.now(), time);
        if cluster != self.cluster {
            self.cluster = cluster;
            self.lose(self.ownership.shards());
        }
        let (id, lease) = (self.own.id, self.own.world.scenario.lease);
        self.ask("heartbeat", move |database| database.heartbeat(id))
            .await?;
        let held = self.ownership.held();
        let ours = self
            .ask("renew leases", move |database| {
                database.renew_leases(id, lease, &held)
            })
            .await?;
        let lost = self.ownership.renewed(&ours, asked);
        if !lost.is_empty() {
            self.lose(lost);
        }
        self.changed();
        Ok(())
    }

    async fn balance(&mut self) -> Result<(), Away> {
        if self.settle_first && !self.backlog.is_empty() {
            return Ok(());
        }
        self.settle_first = false;
        let (id, lease) = (self.own.id, self.own.world.scenario.lease);
        let fleet = self
            .ask("look at fleet", move |database| {
                database.look_at_fleet(id, lease)
            })
            .await?;
        let balance = self.ownership.balance(&fleet);
        if !balance.take.is_empty() {
            let asked = self.own.now();
            let taken = self
                .ask("take shards", move |database| {
                    database.take_shards(id, lease, &balance.take)
                })
                .await?;
            for taken in &taken {
                self.ownership.taken(taken.shard, taken.epoch, asked);
                let (process, shard) = (self.own.process, taken.shard);
                let (epoch, checkpoint) = (taken.epoch.0, &taken.checkpoint);
                self.own.world.note(format_args!(
                    "{process} took {shard} under {epoch} at {checkpoint}"
                ));
            }
            self.changed();
            self.order(Order::Adopt {
                taken,
                cluster: self.cluster.clone(),
            });
        }
        if !balance.leave.is_empty() {
            self.leave(&balance.leave);
        }
        Ok(())
    }

    async fn write_checkpoints(&mut self) -> Result<(), Away> {
        let (answer, moved) = oneshot::channel();
        let _ = self.dispatcher.send(Input::Checkpoints(answer));
        let moved = moved.await.unwrap_or_default();
        if moved.is_empty() {
            return Ok(());
        }
        self.ask("write checkpoints", self.checkpointing(moved))
            .await
    }

    fn checkpointing(
        &self,
        checkpoints: Vec<(Shard, Epoch, Snapshot)>,
    ) -> impl FnOnce(&mut Database) + use<> {
        let (id, cluster) = (self.own.id, self.cluster.clone());
        let world = Rc::clone(&self.own.world);
        move |database| {
            database.write_checkpoints(id, &cluster, &checkpoints);
            let mut books = world.books.borrow_mut();
            for (shard, ..) in &checkpoints {
                books.check_checkpoint(&world, *shard, database);
            }
        }
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
        let (id, held) = (self.own.id, gone.clone());
        let written = self
            .ask("write last checkpoints", self.checkpointing(checkpoints))
            .await;
        if written.is_ok() {
            let _ = self
                .ask("release shards", move |database| {
                    database.release_shards(id, &held);
                })
                .await;
        }
        for (shard, _) in &gone {
            self.ownership.gone(*shard);
        }
        self.changed();
    }

    fn lose(&mut self, shards: Vec<Shard>) {
        let process = self.own.process;
        self.own
            .world
            .note(format_args!("{process} has lost {shards:?}"));
        for shard in &shards {
            self.ownership.gone(*shard);
        }
        self.settle_first = true;
        let _ = self.dispatcher.send(Input::Lost(shards.clone()));
        self.order(Order::Drop(shards));
        self.changed();
    }

    fn changed(&self) {
        self.lease.set(self.ownership.next_expiry());
    }

    fn order(&self, order: Order) {
        let _ = self.reader.send(order);
    }

    async fn ask<T: 'static>(
        &self,
        what: &'static str,
        statement: impl FnOnce(&mut Database) -> T + 'static,
    ) -> Result<T, Away> {
        let now = self.own.now();
        let expiry = self
            .ownership
            .next_expiry()
            .map(|at| at.saturating_duration_since(now));
        let most = self.own.world.scenario.lease / 3;
        let deadline = expiry.map_or(most, |expiry| expiry.min(most));
        self.own.ask(what, deadline, statement).await
    }
}
