//! `Keeper::run`, around the real `Ownership` and `Lease`.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use posthorn::feed::ownership::{GivenUp, Ownership};
use posthorn::flow::DbClock;
use posthorn::flow::entry::Backlog;
use posthorn::flow::input::Input;
use posthorn::flow::lease::Lease;
use posthorn::flow::shards::{Drained, Order, Renewed};
use posthorn::model::{Epoch, Shard, Snapshot};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

use super::{Own, STATEMENT};
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
    renewals: FuturesUnordered<LocalBoxFuture<'static, Renewal>>,
    renew_at: Instant,
    heartbeat_at: Instant,
    look_at: Instant,
    checkpoint_at: Instant,
    settle_first: bool,
}

struct Renewal {
    asked: Instant,
    cluster: String,
    named: Vec<(Shard, Epoch)>,
    answer: Result<Renewed, Away>,
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
            renewals: FuturesUnordered::new(),
            renew_at: now,
            heartbeat_at: now,
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
            let own = Rc::clone(&self.own);
            let next = async {
                tokio::select! {
                    biased;
                    drained = drained.recv() => drained,
                    Ok(()) = stop.changed(), if stop_by.is_none() => None,
                    () = own.sleep(TICK) => None,
                }
            };
            if let Some(first) = self.meanwhile(next).await {
                self.release(first, &mut drained).await;
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
            self.checkpoint_at = now + self.own.world.scenario.checkpoint_every;
        }
        Ok(())
    }

    async fn meanwhile<T>(&mut self, something: impl Future<Output = T>) -> T {
        let own = Rc::clone(&self.own);
        let mut something = pin!(something);
        loop {
            self.keep_leases();
            let due = self.renew_at.saturating_duration_since(own.now());
            tokio::select! {
                biased;
                Some(renewal) = self.renewals.next() => self.take(renewal),
                () = own.sleep(due + Duration::from_nanos(1)) => {}
                done = &mut something => return done,
            }
        }
    }

    fn keep_leases(&mut self) {
        let now = self.own.now();
        if self.renewals.is_empty() {
            let expired = self.ownership.expire(now);
            if !expired.is_empty() {
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

    fn renewal(&self, asked: Instant) -> LocalBoxFuture<'static, Renewal> {
        let own = Rc::clone(&self.own);
        let (id, lease) = (own.id, own.world.scenario.lease);
        let cluster = self.cluster.clone();
        let named = self.ownership.held();
        let lasts = self.ownership.lasts();
        Box::pin(async move {
            let held = named.clone();
            let answer = own.ask("renew leases", lasts, move |database| {
                database.renew_leases(id, lease, &held)
            });
            Renewal {
                asked,
                cluster,
                answer: answer.await,
                named,
            }
        })
    }

    fn take(&mut self, renewal: Renewal) {
        let Ok(renewed) = renewal.answer else {
            self.renew_at = self.renew_at.min(self.own.now() + TICK);
            return;
        };
        if renewal.cluster != self.cluster {
            return;
        }
        if renewed.cluster != self.cluster {
            self.cluster = renewed.cluster;
            self.lose(self.ownership.shards());
            return;
        }
        let Renewal { named, asked, .. } = renewal;
        let lost = self.ownership.renewed(&named, &renewed.ours, asked);
        if !lost.is_empty() {
            self.lose(lost);
        }
        self.changed();
    }

    async fn tell_condition(&mut self) -> Result<(), Away> {
        let id = self.own.id;
        let asked = self.own.now();
        let time = self
            .ask("heartbeat", move |database| database.heartbeat(id))
            .await?;
        let took = self.own.now() - asked;
        self.clock.anchor(asked + took / 2, time);
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
            let cluster = self.cluster.clone();
            let here = cluster.clone();
            let asked = self.own.now();
            let taken = self
                .ask("take shards", move |database| {
                    database.take_shards(id, lease, &here, &balance.take)
                })
                .await?;
            if self.cluster != cluster {
                return Ok(());
            }
            for taken in &taken {
                self.ownership.taken(taken.shard, taken.epoch, asked);
                let (process, shard) = (self.own.process, taken.shard);
                let (epoch, checkpoint) = (taken.epoch.0, &taken.checkpoint);
                self.own.world.note(format_args!(
                    "{process} took {shard} under {epoch} at {checkpoint}"
                ));
            }
            self.changed();
            self.order(Order::Adopt { taken, cluster });
        }
        if !balance.leave.is_empty() {
            self.leave(&balance.leave);
        }
        Ok(())
    }

    async fn write_checkpoints(&mut self) -> Result<(), Away> {
        let (answer, moved) = oneshot::channel();
        let cluster = self.cluster.clone();
        let _ = self.dispatcher.send(Input::Checkpoints(answer));
        let moved = self.meanwhile(moved).await.unwrap_or_default();
        if moved.is_empty() {
            return Ok(());
        }
        self.ask("write checkpoints", self.checkpointing(cluster, moved))
            .await
    }

    fn checkpointing(
        &self,
        cluster: String,
        checkpoints: Vec<(Shard, Epoch, Snapshot)>,
    ) -> impl FnOnce(&mut Database) + use<> {
        let id = self.own.id;
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
        let checkpointing = self.checkpointing(self.cluster.clone(), checkpoints);
        let written = self.ask("write last checkpoints", checkpointing).await;
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
        self.lease.lost();
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
        &mut self,
        what: &'static str,
        statement: impl FnOnce(&mut Database) -> T + 'static,
    ) -> Result<T, Away> {
        let own = Rc::clone(&self.own);
        let deadline = self.ownership.lasts().min(STATEMENT);
        self.meanwhile(own.ask(what, deadline, statement)).await
    }
}
