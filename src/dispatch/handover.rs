//! Shards that go: handed over in order, or lost.

use std::time::Instant;

use tracing::info;
use uuid::Uuid;

use super::{Dispatcher, lane};
use crate::model::Shard;

impl Dispatcher {
    pub(super) fn drain(&mut self, shards: &[Shard], now: Instant) {
        for shard in self.ours(shards) {
            self.draining.insert(shard, now + self.settings.grace);
            for id in self.lanes.of_shard(shard) {
                for item in self.lanes.with(id, lane::Lane::drain).unwrap_or_default() {
                    self.spill(&item);
                }
            }
        }
    }

    /// Hands over the shards of which nothing is in the air or only in memory any more.
    /// At the end of the grace period what is in the air is cut off; it has its row.
    pub(super) fn finish_draining(&mut self, now: Instant) {
        let draining: Vec<(Shard, Instant)> = self
            .draining
            .iter()
            .map(|(shard, until)| (*shard, *until))
            .collect();
        for (shard, until) in draining {
            let lanes = self.lanes.of_shard(shard);
            if now >= until {
                for id in &lanes {
                    self.cut_off(*id);
                }
            }
            let in_the_air = lanes
                .iter()
                .any(|id| self.lanes.with(*id, |lane| lane.in_flight() > 0) == Some(true));
            if !in_the_air
                && self
                    .owned
                    .get(&shard)
                    .is_none_or(|owned| owned.unrecorded == 0)
                && self.checkpoints.is_settled(shard)
                && let Some(checkpoint) = self.checkpoints.checkpoint(shard).cloned()
            {
                self.forget(shard);
                // The keeper is gone only when the worker ends.
                let _ = self.out.drained.send((shard, checkpoint));
            }
        }
    }

    pub(super) fn cut_off(&mut self, id: Uuid) {
        let cut = self.lanes.with(id, lane::Lane::cut_off).unwrap_or_default();
        for item in cut {
            if let Some(send) = self.sends.remove(&item.key) {
                send.abort();
            }
            self.spill(&item);
        }
    }

    pub(super) fn lose(&mut self, shards: &[Shard]) {
        for shard in self.ours(shards) {
            for id in self.lanes.of_shard(shard) {
                for item in self.lanes.with(id, lane::Lane::cut_off).unwrap_or_default() {
                    if let Some(send) = self.sends.remove(&item.key) {
                        send.abort();
                    }
                }
            }
            self.forget(shard);
        }
        info!(
            ?shards,
            "stopped sending for shards that are no longer ours"
        );
    }

    pub(super) fn ours(&self, shards: &[Shard]) -> Vec<Shard> {
        shards
            .iter()
            .copied()
            .filter(|shard| self.owned.contains_key(shard))
            .collect()
    }

    pub(super) fn forget(&mut self, shard: Shard) {
        for id in self.lanes.of_shard(shard) {
            self.lanes.close(id);
        }
        self.draining.remove(&shard);
        self.routes.remove_shard(shard);
        self.checkpoints.drop_shard(shard);
        self.owned.remove(&shard);
    }
}
