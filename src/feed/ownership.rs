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
    pub checkpoints: Vec<Checkpoint>,
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
            self.gone(*shard);
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

    /// Forgets a shard that is held under this epoch, and no other.
    pub fn gone_under(&mut self, shard: Shard, epoch: Epoch) {
        if self
            .held
            .get(&shard)
            .is_some_and(|held| held.epoch == epoch)
        {
            self.gone(shard);
        }
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
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
        let named = ownership.held();
        assert_eq!(ownership.renewed(&named, &[Shard(0)], asked), [Shard(1)]);
        assert_eq!(ownership.next_expiry(), Some(asked + LEASE * 9 / 10));
    }

    #[test]
    fn answers_may_overtake_one_another() {
        let start = Instant::now();
        let mut ownership = holding(&[0], start);
        let named = ownership.held();
        let [first, second] = [3, 6].map(|seconds| start + Duration::from_secs(seconds));
        assert_eq!(ownership.renewed(&named, &[Shard(0)], second), []);
        assert_eq!(ownership.renewed(&named, &[Shard(0)], first), []);
        assert_eq!(ownership.next_expiry(), Some(second + LEASE * 9 / 10));
    }

    #[test]
    fn as_many_renewals_are_in_the_air_as_are_sent_while_one_is_waited_for() {
        let ownership = Ownership::new(LEASE);
        let most = ownership.renew_every() * RENEWALS_AT_ONCE;
        assert!(most >= ownership.lasts());
        assert!(most < ownership.lasts() + ownership.renew_every());
    }

    #[test]
    fn an_answer_from_before_a_shard_was_taken_does_not_lose_it() {
        let start = Instant::now();
        let mut ownership = holding(&[0], start);
        let named = ownership.held();
        let asked = start + Duration::from_secs(1);
        // The answer to the take-over came first, or that to a loss.
        ownership.taken(Shard(1), Epoch(5), start);
        assert_eq!(ownership.renewed(&named, &[Shard(0)], asked), []);
        assert_eq!(ownership.held().len(), 2);
        ownership.gone(Shard(0));
        ownership.taken(Shard(0), Epoch(9), start);
        assert_eq!(ownership.renewed(&named, &[], asked), []);
        assert!(ownership.held().contains(&(Shard(0), Epoch(9))));
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
