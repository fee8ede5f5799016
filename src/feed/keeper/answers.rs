//! What the keeper makes of the answers to its statements.

use std::time::Instant;

use tracing::{info, warn};

use super::words::{Answer, Checkpointing, Errand, Statement};
use super::{AGAIN, Doing, Ended, Keeper, LOOK};
use crate::flow::Away;
use crate::flow::shards::{Checkpoint, FleetView, ShardOrder, Taken};
use crate::model::{Epoch, Shard};

impl Keeper {
    pub(super) fn answered(&mut self, answer: Result<Answer, Away>, now: Instant) {
        let Some((doing, asked)) = self.doing.take() else {
            debug_assert!(false, "an answer to what was not asked");
            return;
        };
        match (doing, answer) {
            (Doing::Heartbeat, Ok(Answer::Time(time))) => {
                // Somewhere on the way: off by half of it at most.
                self.clock.anchor(asked + (now - asked) / 2, time);
                self.heartbeat_at = now + self.ownership.renew_every();
            }
            (Doing::Looking, Ok(Answer::Fleet(fleet))) => self.balance(&fleet, now),
            (
                Doing::Taking {
                    cluster,
                    live_workers,
                },
                Ok(Answer::Taken(taken)),
            ) => {
                self.look_at = now + LOOK;
                self.taken(taken, cluster, live_workers, asked);
            }
            (Doing::Checkpointing { shards, read }, Ok(_)) => {
                self.checkpoint_at = now + self.settings.checkpoint_every;
                for shard in shards {
                    // Not of one that was lost meanwhile.
                    self.checkpointed.entry(shard).and_modify(|at| *at = read);
                }
            }
            (Doing::WritingLast(shards), Ok(_)) => {
                let statement = Statement::ReleaseShards(shards.clone());
                self.ask(Doing::Releasing(shards), statement, now);
            }
            (Doing::Releasing(shards), Ok(_)) => self.released(&shards),
            (Doing::WritingLast(shards) | Doing::Releasing(shards), Err(error)) => {
                warn!(%error, "cannot release shards; they are free when their lease ends");
                self.released(&shards);
            }
            (Doing::Forgetting, answer) => {
                if answer.is_err() || !self.ownership.is_empty() {
                    warn!(
                        "not everything could be handed over; the rest is free when its lease ends"
                    );
                }
                self.ended = Some(Ended::Stopped);
            }
            (_, Err(error)) => self.failed(&error, now),
            (doing, Ok(answer)) => debug_assert!(false, "{answer:?} is no answer to {doing:?}"),
        }
    }

    fn failed(&mut self, error: &Away, now: Instant) {
        if !self.fails {
            warn!(%error, "cannot keep the shards; trying until the database is back");
        }
        self.fails = true;
        self.again_at = now + AGAIN;
    }

    fn balance(&mut self, fleet: &FleetView, now: Instant) {
        let balance = self.ownership.balance(fleet);
        let live_workers = fleet.live_workers;
        if !balance.leave.is_empty() {
            info!(
                shards = balance.leave.len(),
                live_workers, "handing shards over"
            );
            self.leave(&balance.leave);
        }
        if balance.take.is_empty() {
            self.look_at = now + LOOK;
            return;
        }
        let cluster = self.cluster.clone();
        let statement = Statement::TakeShards {
            cluster: cluster.clone(),
            shards: balance.take,
        };
        let doing = Doing::Taking {
            cluster,
            live_workers,
        };
        self.ask(doing, statement, now);
    }

    fn taken(&mut self, taken: Vec<Taken>, cluster: String, live_workers: usize, asked: Instant) {
        // A renewal has said meanwhile that this is another one.
        if self.cluster != cluster {
            return;
        }
        info!(shards = taken.len(), live_workers, "took shards");
        for taken in &taken {
            self.ownership.taken(taken.shard, taken.epoch, asked);
            self.checkpointed.insert(taken.shard, asked);
        }
        self.changed();
        self.errands
            .push(Errand::Order(ShardOrder::Adopt { taken, cluster }));
    }

    pub(super) fn collected(&mut self, checkpoints: Vec<Checkpoint>, now: Instant) {
        let Some((Doing::Collecting { cluster }, _)) = self.doing.take() else {
            debug_assert!(false, "checkpoints that were not asked for");
            return;
        };
        if checkpoints.is_empty() {
            self.checkpoint_at = now + self.settings.checkpoint_every;
            return;
        }
        let doing = Doing::Checkpointing {
            shards: checkpoints.iter().map(|(shard, ..)| *shard).collect(),
            read: now,
        };
        let statement = Statement::WriteCheckpoints(Checkpointing {
            cluster,
            checkpoints,
        });
        self.ask(doing, statement, now);
    }

    fn released(&mut self, shards: &[(Shard, Epoch)]) {
        for (shard, epoch) in shards {
            self.ownership.forget_under(*shard, *epoch);
        }
        info!(shards = shards.len(), "handed shards over");
        self.changed();
    }
}
