//! Which shards this worker may act for, and until when. A state machine without I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::flow::shards::{Checkpoint, Drained, FleetView};
use crate::model::{Epoch, Shard};

/// A worker stops acting for a shard this share of the lease before it runs out, so that
/// its last packets are gone when another worker's first may come.
const SAFETY: u32 = 10;

/// A renewal is sent each third of the lease, whatever became of the last one.
const RENEWALS: u32 = 3;

/// Renewals that can be in the air: each is waited for as long as what it asks for would
/// last.
pub const RENEWALS_AT_ONCE: u32 = (RENEWALS * (SAFETY - 1)).div_ceil(SAFETY);

/// The shards that a worker holds, and until when.
#[derive(Debug)]
pub struct Ownership {
    lease: Duration,
    held: BTreeMap<Shard, Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: Epoch,
    /// By this process's monotonic clock, counted from before the lease was asked for:
    /// never later than the database's expiry.
    valid_until: Instant,
    /// Being handed over.
    leaving: bool,
}

/// What to do about the fleet as it was just seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Free shards to take.
    pub take: Vec<Shard>,
    /// Shards to hand over: others have fewer.
    pub leave: Vec<Shard>,
}

/// Shards that are handed over, and the last checkpoints of those that have one.
#[derive(Debug, Default)]
pub struct Release {
    /// What is released, by the epoch under which it is held.
    pub shards: Vec<(Shard, Epoch)>,
    /// The last checkpoints of those that have one.
    pub checkpoints: Vec<Checkpoint>,
}

impl Ownership {
    /// Holds nothing yet; `lease` is how long one lasts in the database.
    #[must_use]
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            held: BTreeMap::new(),
        }
    }

    /// The span between two renewals.
    #[must_use]
    pub fn renew_every(&self) -> Duration {
        self.lease / RENEWALS
    }

    /// How long a worker acts on a lease, counted from before it asked for it.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.lease / SAFETY * (SAFETY - 1)
    }

    /// Shards with their epochs, for renewing and for fenced writes.
    #[must_use]
    pub fn held(&self) -> Vec<(Shard, Epoch)> {
        self.held
            .iter()
            .map(|(shard, held)| (*shard, held.epoch))
            .collect()
    }

    /// The shards that are held.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        self.held.keys().copied().collect()
    }

    /// Up to its fair share, rounded up: takes free shards below it, leaves some above.
    #[must_use]
    pub fn balance(&self, fleet: &FleetView) -> Balance {
        let share = fleet.shards.div_ceil(fleet.live_workers.max(1));
        let staying = self.held.iter().filter(|(_, held)| !held.leaving);
        let staying: Vec<Shard> = staying.map(|(shard, _)| *shard).collect();
        let free = fleet
            .takeable
            .iter()
            .filter(|shard| !self.held.contains_key(shard));
        Balance {
            take: free
                .copied()
                .take(share.saturating_sub(staying.len()))
                .collect(),
            leave: staying.into_iter().skip(share).collect(),
        }
    }

    /// A shard was taken; the statement was sent at `asked`.
    pub fn taken(&mut self, shard: Shard, epoch: Epoch, asked: Instant) {
        let held = Held {
            epoch,
            valid_until: asked + self.lasts(),
            leaving: false,
        };
        self.held.insert(shard, held);
    }

    /// Leases of what was `named` were renewed, for those that are still `ours`; the
    /// statement was sent at `asked`. Returns the shards that another worker has, or has
    /// had, meanwhile. Under the same epoch nobody has: a lease that had run out goes on.
    pub fn renewed(
        &mut self,
        named: &[(Shard, Epoch)],
        ours: &[Shard],
        asked: Instant,
    ) -> Vec<Shard> {
        let valid_until = asked + self.lasts();
        let mut lost = Vec::new();
        for (shard, epoch) in named {
            // One that was lost since, and perhaps taken again, is not what it speaks of.
            let held = self.held.get_mut(shard);
            let Some(held) = held.filter(|held| held.epoch == *epoch) else {
                continue;
            };
            if ours.contains(shard) {
                // Answers may overtake one another.
                held.valid_until = held.valid_until.max(valid_until);
            } else {
                lost.push(*shard);
            }
        }
        for shard in &lost {
            self.forget(*shard);
        }
        lost
    }

    /// The shards whose lease could not be renewed in time.
    pub fn expire(&mut self, now: Instant) -> Vec<Shard> {
        let mut expired = Vec::new();
        self.held.retain(|shard, held| {
            let valid = now < held.valid_until;
            if !valid {
                expired.push(*shard);
            }
            valid
        });
        expired
    }

    /// When the first lease runs out, unless it is renewed.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.held.values().map(|held| held.valid_until).min()
    }

    /// Begins to hand these over; returns those of them that are held, with their epochs.
    pub fn leave(&mut self, shards: &[Shard]) -> Vec<(Shard, Epoch)> {
        let mut leaving = Vec::new();
        for shard in shards {
            if let Some(held) = self.held.get_mut(shard) {
                held.leaving = true;
                leaving.push((*shard, held.epoch));
            }
        }
        leaving
    }

    /// What of this can be released: not what has been lost since, even if it was taken again.
    #[must_use]
    pub fn to_release(&self, drained: Vec<Drained>) -> Release {
        let mut release = Release::default();
        for Drained {
            shard,
            epoch,
            checkpoint,
        } in drained
        {
            if self.is_held(shard, epoch) {
                release.shards.push((shard, epoch));
                let checkpoint = checkpoint.map(|checkpoint| (shard, epoch, checkpoint));
                release.checkpoints.extend(checkpoint);
            }
        }
        release
    }

    /// Forgets a shard that was released or is lost.
    pub fn forget(&mut self, shard: Shard) {
        self.held.remove(&shard);
    }

    /// Forgets a shard that is held under this epoch, and no other.
    pub fn forget_under(&mut self, shard: Shard, epoch: Epoch) {
        if self.is_held(shard, epoch) {
            self.forget(shard);
        }
    }

    fn is_held(&self, shard: Shard, epoch: Epoch) -> bool {
        let held = self.held.get(&shard);
        held.is_some_and(|held| held.epoch == epoch)
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests;
