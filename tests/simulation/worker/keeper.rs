//! Does the errands of the real keeper (`posthorn::feed::keeper`) on simulated time.

use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use posthorn::feed::keeper::{Answer, Checkpointing, Errand, Input, Keeper, Renewal, Statement};
use posthorn::flow::input;
use posthorn::flow::shards::{Drained, ShardOrder};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};

use super::Own;
use crate::database::Database;
use crate::link::Away;

pub struct Keeping {
    pub own: Rc<Own>,
    pub lease: Duration,
    pub dispatcher: UnboundedSender<input::Input>,
    pub reader: UnboundedSender<ShardOrder>,
}

type UnderWay = FuturesUnordered<LocalBoxFuture<'static, Input>>;

impl Keeping {
    pub async fn run(
        self,
        mut keeper: Keeper,
        mut drained: UnboundedReceiver<Drained>,
        mut stop: watch::Receiver<bool>,
    ) {
        let own = Rc::clone(&self.own);
        let mut under_way = UnderWay::new();
        let mut stops = false;
        keeper.step(None, own.now());
        while keeper.ended().is_none() {
            for errand in keeper.take_errands() {
                self.begin(errand, &under_way);
            }
            let wake = keeper.next_wake().saturating_duration_since(own.now());
            let input = tokio::select! {
                biased;
                Some(input) = under_way.next() => Some(input),
                Ok(_) = stop.wait_for(|stop| *stop), if !stops => {
                    stops = true;
                    Some(Input::Stop)
                }
                Some(drained) = drained.recv() => Some(Input::Drained(drained)),
                () = own.sleep(wake + Duration::from_nanos(1)) => None,
            };
            keeper.step(input, own.now());
        }
        let (world, process) = (&own.world, own.process);
        world.note(format_args!("{process} has stopped"));
        world.executor.kill(process);
    }

    fn begin(&self, errand: Errand, under_way: &UnderWay) {
        let process = self.own.process;
        match errand {
            Errand::Renew(renewal, lasts) => {
                under_way.push(Box::pin(renew(
                    Rc::clone(&self.own),
                    renewal,
                    self.lease,
                    lasts,
                )));
            }
            Errand::Ask(statement, limit) => {
                let answer = ask(Rc::clone(&self.own), statement, self.lease, limit);
                under_way.push(Box::pin(async {
                    Input::Answered(answer.await.map_err(Into::into))
                }));
            }
            Errand::Collect => {
                let (answer, moved) = oneshot::channel();
                let _ = self.dispatcher.send(input::Input::Checkpoints(answer));
                under_way.push(Box::pin(async {
                    Input::Collected(moved.await.unwrap_or_default())
                }));
            }
            Errand::Tell(input) => {
                if let input::Input::Lost(shards) = &*input {
                    let world = &self.own.world;
                    world.note(format_args!("{process} has lost {shards:?}"));
                }
                let _ = self.dispatcher.send(*input);
            }
            Errand::Order(order) => {
                let _ = self.reader.send(order);
            }
            Errand::SayWhatItWaitsFor { .. } => {}
        }
    }
}

async fn renew(own: Rc<Own>, renewal: Renewal, lease: Duration, lasts: Duration) -> Input {
    let (id, held) = (own.id, renewal.named.clone());
    let answer = own.ask("renew leases", lasts, move |database| {
        database.renew_leases(id, lease, &held)
    });
    let answer = answer.await;
    Input::Renewed(renewal, answer.map_err(Into::into))
}

async fn ask(
    own: Rc<Own>,
    statement: Statement,
    lease: Duration,
    limit: Duration,
) -> Result<Answer, Away> {
    let id = own.id;
    match statement {
        Statement::Heartbeat => {
            let time = own.ask("heartbeat", limit, move |database| database.heartbeat(id));
            Ok(Answer::Time(time.await?))
        }
        Statement::LookAtFleet => {
            let fleet = own.ask("look at fleet", limit, move |database| {
                database.look_at_fleet(id, lease)
            });
            Ok(Answer::Fleet(fleet.await?))
        }
        Statement::TakeShards { cluster, shards } => {
            let taken = own.ask("take shards", limit, move |database| {
                database.take_shards(id, lease, &cluster, &shards)
            });
            let taken = taken.await?;
            for taken in &taken {
                let (process, shard) = (own.process, taken.shard);
                let (epoch, checkpoint) = (taken.epoch.0, &taken.checkpoint);
                own.world.note(format_args!(
                    "{process} took {shard} under {epoch} at {checkpoint}"
                ));
            }
            Ok(Answer::Taken(taken))
        }
        Statement::WriteCheckpoints(checkpointing) => {
            let write = write(&own, checkpointing);
            own.ask("write checkpoints", limit, write).await?;
            Ok(Answer::Done)
        }
        Statement::WriteLastCheckpoints(checkpointing) => {
            let write = write(&own, checkpointing);
            own.ask("write last checkpoints", limit, write).await?;
            Ok(Answer::Done)
        }
        Statement::ReleaseShards(shards) => {
            let release = own.ask("release shards", limit, move |database| {
                database.release_shards(id, &shards);
            });
            release.await?;
            Ok(Answer::Done)
        }
        Statement::ForgetWorker => {
            let forget = own.ask("forget worker", limit, move |database| {
                database.forget_worker(id);
            });
            forget.await?;
            Ok(Answer::Done)
        }
    }
}

fn write(own: &Rc<Own>, checkpointing: Checkpointing) -> impl FnOnce(&mut Database) + use<> {
    let (id, world) = (own.id, Rc::clone(&own.world));
    move |database| {
        let Checkpointing {
            cluster,
            checkpoints,
        } = checkpointing;
        database.write_checkpoints(id, &cluster, &checkpoints);
        let mut books = world.books.borrow_mut();
        for (shard, ..) in &checkpoints {
            books.check_checkpoint(&world, *shard, database);
        }
    }
}
