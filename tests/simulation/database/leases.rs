//! Shards, their owners and checkpoints: `store::shards`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::flow::shards::{FleetView, Renewed, Taken};
use posthorn::model::{Epoch, Shard, Snapshot};
use uuid::Uuid;

use super::Database;

pub struct ShardRow {
    pub owner: Option<Uuid>,
    pub epoch: Epoch,
    expires_at: Option<DateTime<Utc>>,
    pub checkpoint: Snapshot,
    checkpoint_at: DateTime<Utc>,
    cluster: String,
}

impl ShardRow {
    pub fn new(database: &Database) -> Self {
        Self {
            owner: None,
            epoch: Epoch(0),
            expires_at: None,
            checkpoint: "3:3:".parse().unwrap(),
            // Before the first event of all.
            checkpoint_at: database.now() - TimeDelta::days(1),
            cluster: database.cluster(),
        }
    }

    fn is_takeable(&self, worker: Uuid, now: DateTime<Utc>) -> bool {
        self.owner.is_none_or(|owner| owner == worker)
            || self.expires_at.is_some_and(|expires_at| expires_at < now)
    }

    fn is_held(&self, worker: Uuid, epoch: Epoch) -> bool {
        self.owner == Some(worker) && self.epoch == epoch
    }
}

impl Database {
    pub fn heartbeat(&mut self, worker: Uuid) -> DateTime<Utc> {
        self.write();
        self.workers.insert(worker, self.now());
        self.now()
    }

    pub fn forget_worker(&mut self, worker: Uuid) {
        self.write();
        self.workers.remove(&worker);
    }

    pub fn look_at_fleet(&self, worker: Uuid, lease: Duration) -> FleetView {
        let now = self.now();
        let alive = now - TimeDelta::from_std(lease).unwrap();
        let live = self.workers.values().filter(|seen| **seen > alive);
        let takeable = self.shards.iter();
        let takeable = takeable.filter(|(_, row)| row.is_takeable(worker, now));
        FleetView {
            live_workers: live.count(),
            shards: self.shards.len(),
            takeable: takeable.map(|(shard, _)| *shard).collect(),
        }
    }

    pub fn take_shards(
        &mut self,
        worker: Uuid,
        lease: Duration,
        cluster: &str,
        shards: &[Shard],
    ) -> Vec<Taken> {
        self.write();
        let now = self.now();
        let mut taken = Vec::new();
        if self.cluster() != cluster {
            return taken;
        }
        for (shard, row) in &mut self.shards {
            if shards.contains(shard) && row.is_takeable(worker, now) {
                row.owner = Some(worker);
                row.epoch.0 += 1;
                row.expires_at = Some(now + TimeDelta::from_std(lease).unwrap());
                taken.push(Taken {
                    shard: *shard,
                    epoch: row.epoch,
                    checkpoint: row.checkpoint.clone(),
                    checkpoint_at: row.checkpoint_at,
                    cluster: row.cluster.clone(),
                });
            }
        }
        taken
    }

    pub fn renew_leases(
        &mut self,
        worker: Uuid,
        lease: Duration,
        held: &[(Shard, Epoch)],
    ) -> Renewed {
        self.write();
        let expires_at = self.now() + TimeDelta::from_std(lease).unwrap();
        let mut ours = Vec::new();
        for (shard, epoch) in held {
            if let Some(row) = self.held(worker, *shard, *epoch) {
                row.expires_at = Some(expires_at);
                ours.push(*shard);
            }
        }
        Renewed {
            cluster: self.cluster(),
            ours,
        }
    }

    pub fn write_checkpoints(
        &mut self,
        worker: Uuid,
        cluster: &str,
        checkpoints: &[(Shard, Epoch, Snapshot)],
    ) {
        self.write();
        let now = self.now();
        if self.cluster() != cluster {
            return;
        }
        for (shard, epoch, checkpoint) in checkpoints {
            if let Some(row) = self.held(worker, *shard, *epoch) {
                row.checkpoint = checkpoint.clone();
                row.checkpoint_at = now;
                cluster.clone_into(&mut row.cluster);
            }
        }
    }

    pub fn release_shards(&mut self, worker: Uuid, held: &[(Shard, Epoch)]) {
        self.write();
        for (shard, epoch) in held {
            if let Some(row) = self.held(worker, *shard, *epoch) {
                row.owner = None;
                row.expires_at = None;
            }
        }
    }

    pub(super) fn shards_of(&self, worker: Uuid) -> Vec<Shard> {
        let rows = self.shards.iter();
        let rows = rows.filter(|(_, row)| row.owner == Some(worker));
        rows.map(|(shard, _)| *shard).collect()
    }

    /// The fence.
    pub(super) fn is_held(&self, worker: Uuid, shard: Shard, epoch: Epoch) -> bool {
        self.shards[&shard].is_held(worker, epoch)
    }

    fn held(&mut self, worker: Uuid, shard: Shard, epoch: Epoch) -> Option<&mut ShardRow> {
        self.shards
            .get_mut(&shard)
            .filter(|row| row.is_held(worker, epoch))
    }
}
