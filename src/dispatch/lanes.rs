//! All lanes of a worker: which of them to look at next, and what they hold in all.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::lane::{Lane, LaneSettings};
use crate::model::{Shard, Subscription};

/// The lanes take turns: one that has much to do goes to the back of the row.
#[derive(Debug, Default)]
pub struct Lanes {
    /// Boxed: a map with room to grow holds almost twice its entries.
    by_id: HashMap<Uuid, Box<Lane>>,
    by_shard: HashMap<Shard, Vec<Uuid>>,
    row: VecDeque<Uuid>,
    in_row: HashSet<Uuid>,
    agenda: BTreeSet<(Instant, Uuid)>,
    on_agenda: HashMap<Uuid, Instant>,
    /// Deliveries and bytes in all queues.
    queued: (usize, usize),
    in_flight: usize,
}

impl Lanes {
    /// Works on a lane, and keeps the sums right.
    pub fn with<T>(&mut self, id: Uuid, work: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let lane = self.by_id.get_mut(&id)?;
        let (queued, bytes) = lane.queued();
        let in_flight = lane.in_flight();
        let result = work(lane);
        let (queued_now, bytes_now) = lane.queued();
        self.queued.0 = self.queued.0 + queued_now - queued;
        self.queued.1 = self.queued.1 + bytes_now - bytes;
        self.in_flight = self.in_flight + lane.in_flight() - in_flight;
        Some(result)
    }

    /// Makes a lane for a subscription that has none.
    pub fn open(
        &mut self,
        subscription: &Arc<Subscription>,
        settings: LaneSettings,
        behind_log: bool,
        now: Instant,
    ) {
        if let Entry::Vacant(place) = self.by_id.entry(subscription.id) {
            let lane = Lane::new(Arc::clone(subscription), settings, behind_log, now);
            place.insert(Box::new(lane));
            self.by_shard
                .entry(subscription.shard)
                .or_default()
                .push(subscription.id);
        }
    }

    /// Forgets the lanes of a shard that has gone.
    pub fn forget_shard(&mut self, shard: Shard) {
        for id in self.by_shard.remove(&shard).unwrap_or_default() {
            let lane = self.by_id.remove(&id);
            assert!(lane.is_some(), "lane {id} of {shard:?} was closed before");
            if let Some(lane) = lane {
                self.queued.0 -= lane.queued().0;
                self.queued.1 -= lane.queued().1;
                self.in_flight -= lane.in_flight();
            }
            self.schedule(id, None);
        }
    }

    /// Whether there is no such lane, or nothing at hand that only the lane knows.
    #[must_use]
    pub fn is_idle(&self, id: Uuid) -> bool {
        self.by_id.get(&id).is_none_or(|lane| lane.is_idle())
    }

    /// Closes lanes of a shard that are idle.
    pub fn close(&mut self, shard: Shard, ids: &HashSet<Uuid>) {
        for id in ids {
            self.by_id.remove(id);
            self.schedule(*id, None);
        }
        if let Some(of_shard) = self.by_shard.get_mut(&shard) {
            of_shard.retain(|id| !ids.contains(id));
        }
    }

    /// All lanes but these have no replay that waits.
    pub fn without_replays_but(&mut self, these: &HashSet<Uuid>) {
        let others = self.by_id.iter_mut().filter(|(id, _)| !these.contains(id));
        for (_, lane) in others {
            lane.shelf.found_no_replays();
        }
    }

    #[must_use]
    pub fn of_shard(&self, shard: Shard) -> Vec<Uuid> {
        self.by_shard.get(&shard).cloned().unwrap_or_default()
    }

    /// Whether any of the shard's deliveries is in the air.
    #[must_use]
    pub fn is_in_the_air(&self, shard: Shard) -> bool {
        let lanes = self.by_shard.get(&shard).into_iter().flatten();
        lanes
            .filter_map(|id| self.by_id.get(id))
            .any(|lane| lane.in_flight() > 0)
    }

    /// Puts a lane into the row, once.
    pub fn look_at(&mut self, id: Uuid) {
        if self.in_row.insert(id) {
            self.row.push_back(id);
        }
    }

    /// The lane whose turn it is.
    pub fn next_in_row(&mut self) -> Option<Uuid> {
        let id = self.row.pop_front()?;
        let was_in_row = self.in_row.remove(&id);
        debug_assert!(was_in_row, "lane {id} stands in the row twice");
        Some(id)
    }

    /// The lanes whose time has come join the row.
    pub fn wake(&mut self, now: Instant) {
        while let Some((at, id)) = self.agenda.first().copied()
            && at <= now
        {
            self.agenda.pop_first();
            let noted = self.on_agenda.remove(&id);
            debug_assert_eq!(noted, Some(at), "lane {id} stands on the agenda twice");
            self.look_at(id);
        }
    }

    /// Notes when to look at a lane again at the latest.
    pub fn schedule(&mut self, id: Uuid, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.on_agenda.insert(id, at),
            None => self.on_agenda.remove(&id),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.agenda.remove(&(before, id));
        }
        if let Some(at) = at {
            self.agenda.insert((at, id));
        }
    }

    /// How long the dispatcher may sleep.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// The share of the memory for waiting deliveries that is in use, 0 to 1 and above.
    #[must_use]
    pub fn pressure(&self, most: usize, most_bytes: usize) -> f64 {
        // Far below 2^52: nothing is lost.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        let share = |used: usize, of: usize| used as f64 / of.max(1) as f64;
        share(self.queued.0, most).max(share(self.queued.1, most_bytes))
    }

    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The lanes whose endpoints get only probes.
    pub fn failing(&self) -> impl Iterator<Item = Uuid> {
        let failing = self.by_id.iter().filter(|(_, lane)| lane.is_failing());
        failing.map(|(id, _)| *id)
    }

    /// Adds up what the lanes hold, for the gauges.
    #[must_use]
    pub fn sums(&self) -> Sums {
        Sums {
            queued: self.queued.0,
            bytes: self.queued.1,
            in_flight: self.in_flight,
            waiting: self.by_id.values().map(|lane| lane.shelf.all_rows()).sum(),
            failing: self.by_id.values().filter(|lane| lane.is_failing()).count(),
            told_to_wait: self
                .by_id
                .values()
                .filter(|lane| lane.is_told_to_wait())
                .count(),
        }
    }
}

/// What all lanes of a worker hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Deliveries that wait in memory,
    pub queued: usize,
    /// and their bytes.
    pub bytes: usize,
    /// Requests in the air.
    pub in_flight: usize,
    /// Deliveries that wait in the database, replays too.
    pub waiting: u64,
    /// Endpoints that get only probes.
    pub failing: usize,
    /// Endpoints that have said that they take nothing now.
    pub told_to_wait: usize,
}
