//! Shards that go: handed over in order, or lost.

use std::time::Instant;

use tracing::info;

use super::Dispatcher;
use super::item::Item;
use super::lane::Lane;
use crate::flow::shards::Drained;
use crate::model::{Epoch, Shard, Snapshot};

impl Dispatcher {
    pub(super) fn drain(&mut self, shards: &[(Shard, Epoch)], now: Instant) {
        for (shard, epoch) in shards {
            if !self.is_held(*shard, *epoch) {
                // It was left before it was adopted: nothing was read of it.
                self.tell_drained(*shard, *epoch, None);
                continue;
            }
            self.draining
                .insert(*shard, Some(now + self.settings.grace));
            for id in self.lanes.of_shard(*shard) {
                for item in self.lanes.with(id, Lane::drain).unwrap_or_default() {
                    self.spill(&item, now);
                }
            }
        }
    }

    /// Hands over the shards of which nothing is in the air or only in memory any more.
    /// At the end of the grace period what is in the air is cut off; it has its row.
    pub(super) fn finish_draining(&mut self, now: Instant) {
        let draining: Vec<(Shard, Option<Instant>)> = self
            .draining
            .iter()
            .map(|(shard, until)| (*shard, *until))
            .collect();
        for (shard, until) in draining {
            if until.is_some_and(|until| now >= until) {
                self.draining.insert(shard, None);
                for item in self.cut_off(shard) {
                    self.spill(&item, now);
                }
            }
            let is_recorded = self
                .owned
                .get(&shard)
                .is_none_or(|owned| owned.unrecorded == 0);
            if is_recorded && !self.lanes.is_in_the_air(shard) && self.checkpoints.is_settled(shard)
            {
                let checkpoint = self.checkpoints.checkpoint(shard).cloned();
                let epoch = self.epoch(shard);
                self.forget(shard);
                if let Some(epoch) = epoch {
                    self.tell_drained(shard, epoch, checkpoint);
                }
            }
        }
    }

    /// Cuts off what is in the air: nobody waits for the answers any more.
    fn cut_off(&mut self, shard: Shard) -> Vec<Item> {
        let mut cut = Vec::new();
        for id in self.lanes.of_shard(shard) {
            cut.extend(self.lanes.with(id, Lane::cut_off).unwrap_or_default());
        }
        for item in &cut {
            let send = self.sends.remove(&item.key);
            debug_assert!(send.is_some(), "nothing cuts off what is in the air");
            if let Some(send) = send {
                send.abort();
            }
        }
        cut
    }

    pub(super) fn lose(&mut self, shards: &[Shard]) {
        self.losses += 1;
        // It is told twice ([`Lease`](crate::flow::lease::Lease)).
        let lost = shards.iter().filter(|shard| self.owned.contains_key(shard));
        let lost: Vec<&Shard> = lost.collect();
        for shard in shards {
            self.cut_off(*shard);
            self.forget(*shard);
        }
        if !lost.is_empty() {
            info!(
                shards = lost.len(),
                "stopped sending for shards that are no longer ours"
            );
        }
    }

    fn forget(&mut self, shard: Shard) {
        self.lanes.forget_shard(shard);
        self.draining.remove(&shard);
        self.routes.remove_shard(shard);
        self.checkpoints.forget_shard(shard);
        self.rowless.retain(|_, rowless| rowless.shard != shard);
        self.owned.remove(&shard);
    }

    /// Under which a shard is held now.
    pub(super) fn epoch(&self, shard: Shard) -> Option<Epoch> {
        self.owned.get(&shard).map(|owned| owned.epoch)
    }

    /// Whether what was begun under this epoch is for the shard as it is held now: it may have
    /// been lost since, and taken again.
    pub(super) fn is_held(&self, shard: Shard, epoch: Epoch) -> bool {
        self.epoch(shard) == Some(epoch)
    }

    fn tell_drained(&self, shard: Shard, epoch: Epoch, checkpoint: Option<Snapshot>) {
        // The keeper is gone only when the worker ends.
        let _ = self.out.drained.send(Drained {
            shard,
            epoch,
            checkpoint,
        });
    }
}
