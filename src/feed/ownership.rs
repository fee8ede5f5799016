//! Which shards this worker may act for, and until when. A state machine without I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::dispatch::input::Drained;
use crate::model::{Epoch, Shard, Snapshot};
use crate::store::shards::FleetView;

/// A worker stops acting for a shard this share of the lease before it runs out, so that
/// its last packets are gone when another worker's first may come.
const SAFETY: u32 = 10;

/// Leases are renewed each third of their length: two renewals can fail.
const RENEWALS: u32 = 3;

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
    pub take: Vec<Shard>,
    pub leave: Vec<Shard>,
}

/// Shards that are handed over, and the last checkpoints of those that have one.
#[derive(Debug, Default)]
pub struct GivenUp {
    pub shards: Vec<(Shard, Epoch)>,
    pub checkpoints: Vec<(Shard, Epoch, Snapshot)>,
}

impl Ownership {
    #[must_use]
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            held: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn renew_every(&self) -> Duration {
        self.lease / RENEWALS
    }

    /// Shards with their epochs, for renewing and for fenced writes.
    #[must_use]
    pub fn held(&self) -> Vec<(Shard, Epoch)> {
        self.held
            .iter()
            .map(|(shard, held)| (*shard, held.epoch))
            .collect()
    }

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
            valid_until: self.valid_until(asked),
            leaving: false,
        };
        self.held.insert(shard, held);
    }

    /// Leases were renewed; the statement was sent at `asked`. Returns the shards that
    /// another worker has meanwhile.
    pub fn renewed(&mut self, ours: &[Shard], asked: Instant) -> Vec<Shard> {
        let valid_until = self.valid_until(asked);
        let mut lost = Vec::new();
        self.held.retain(|shard, held| {
            // Taken after the renewal was asked for: the answer says nothing of it.
            if held.valid_until >= valid_until {
                return true;
            }
            held.valid_until = valid_until;
            let kept = ours.contains(shard);
            if !kept {
                lost.push(*shard);
            }
            kept
        });
        lost
    }

    /// The shards whose lease could not be renewed in time: nothing may be sent for them
    /// from now on, whatever the database will say.
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

    pub fn leaving(&mut self, shards: &[Shard]) -> Vec<(Shard, Epoch)> {
        let mut leaving = Vec::new();
        for shard in shards {
            if let Some(held) = self.held.get_mut(shard) {
                held.leaving = true;
                leaving.push((*shard, held.epoch));
            }
        }
        leaving
    }

    /// What of it can be given up: not what has been lost since, even if it was taken again.
    #[must_use]
    pub fn to_give_up(&self, drained: Vec<Drained>) -> GivenUp {
        let mut given_up = GivenUp::default();
        for Drained {
            shard,
            epoch,
            checkpoint,
        } in drained
        {
            if self
                .held
                .get(&shard)
                .is_some_and(|held| held.epoch == epoch)
            {
                given_up.shards.push((shard, epoch));
                let checkpoint = checkpoint.map(|checkpoint| (shard, epoch, checkpoint));
                given_up.checkpoints.extend(checkpoint);
            }
        }
        given_up
    }

    /// Handed over, or lost.
    pub fn gone(&mut self, shard: Shard) {
        self.held.remove(&shard);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn valid_until(&self, asked: Instant) -> Instant {
        asked + self.lease / SAFETY * (SAFETY - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn fleet(live_workers: usize, takeable: &[i16]) -> FleetView {
        FleetView {
            live_workers,
            shards: 4,
            takeable: takeable.iter().copied().map(Shard).collect(),
        }
    }

    fn holding(shards: &[i16], asked: Instant) -> Ownership {
        let mut ownership = Ownership::new(LEASE);
        for shard in shards {
            ownership.taken(Shard(*shard), Epoch(1), asked);
        }
        ownership
    }

    #[test]
    fn a_lone_worker_takes_everything_and_a_second_one_its_half() {
        let now = Instant::now();
        let alone = holding(&[], now).balance(&fleet(1, &[0, 1, 2, 3]));
        assert_eq!(alone.take.len(), 4);
        let second = holding(&[], now).balance(&fleet(2, &[2, 3]));
        assert_eq!(second.take, [Shard(2), Shard(3)]);
        let full = holding(&[0, 1], now).balance(&fleet(2, &[2, 3]));
        assert_eq!(full, Balance::default());
    }

    #[test]
    fn surplus_is_left_once_when_another_worker_comes() {
        let now = Instant::now();
        let mut ownership = holding(&[0, 1, 2, 3], now);
        let balance = ownership.balance(&fleet(2, &[]));
        assert_eq!(balance.leave, [Shard(2), Shard(3)]);
        ownership.leaving(&balance.leave);
        assert_eq!(ownership.balance(&fleet(2, &[])), Balance::default());
    }

    #[test]
    fn a_lease_ends_here_before_it_ends_in_the_database() {
        let asked = Instant::now();
        let mut ownership = holding(&[0], asked);
        assert_eq!(ownership.expire(asked + LEASE * 8 / 10), []);
        assert_eq!(ownership.expire(asked + LEASE * 9 / 10), [Shard(0)]);
        assert!(ownership.is_empty());
    }

    #[test]
    fn a_renewal_counts_from_before_it_was_asked_for() {
        let start = Instant::now();
        let mut ownership = holding(&[0, 1], start);
        let asked = start + Duration::from_secs(3);
        assert_eq!(ownership.renewed(&[Shard(0)], asked), [Shard(1)]);
        assert_eq!(ownership.next_expiry(), Some(asked + LEASE * 9 / 10));
    }

    #[test]
    fn an_answer_from_before_a_shard_was_taken_does_not_lose_it() {
        let start = Instant::now();
        let mut ownership = holding(&[0], start);
        ownership.taken(Shard(1), Epoch(5), start + Duration::from_secs(1));
        assert_eq!(
            ownership.renewed(&[Shard(0)], start + Duration::from_millis(500)),
            []
        );
        assert!(ownership.held().contains(&(Shard(1), Epoch(5))));
    }

    #[test]
    fn what_was_drained_before_a_shard_was_lost_and_taken_again_is_not_given_up() {
        let mut ownership = holding(&[0, 1], Instant::now());
        let leaving = ownership.leaving(&[Shard(0), Shard(1)]);
        ownership.gone(Shard(0));
        ownership.taken(Shard(0), Epoch(7), Instant::now());
        let drained = leaving.into_iter().map(|(shard, epoch)| Drained {
            shard,
            epoch,
            checkpoint: None,
        });
        let given_up = ownership.to_give_up(drained.collect()).shards;
        assert_eq!(given_up.len(), 1);
        assert_eq!(given_up[0].0, Shard(1));
    }
}
