//! Shards that were just taken: what the dispatcher must know of them before anything is read.

use std::collections::BTreeSet;
use std::time::Instant;

use tracing::{info, warn};
use uuid::Uuid;

use super::{Answer, Doing, Question, Reader};
use crate::feed::progress::Start;
use crate::flow::input::{Adoption, Input};
use crate::flow::refill::Waiting;
use crate::flow::shards::Taken;
use crate::flow::subscriptions::Loaded;
use crate::model::Shard;

/// What is known of the shards so far. If the database fails to answer, it begins anew.
#[derive(Debug)]
pub(super) struct Adopting {
    taken: Vec<Taken>,
    revision: Option<i64>,
    waiting: Option<Vec<Waiting>>,
    /// The subscriptions of the merchants for which something waits.
    loaded: Option<Loaded>,
    /// Whether no event has a transaction id of another cluster.
    is_settled: bool,
}

impl Adopting {
    pub(super) fn of(taken: Vec<Taken>, cluster: &str) -> Self {
        let is_settled = taken.iter().all(|taken| taken.cluster == cluster);
        Self {
            taken,
            revision: None,
            waiting: None,
            loaded: None,
            is_settled,
        }
    }

    fn shards(&self) -> Vec<Shard> {
        self.taken.iter().map(|taken| taken.shard).collect()
    }

    /// What to ask next. The revision comes before the rows: a change in between is loaded
    /// again with the next page.
    fn question(&self) -> Option<Question> {
        let shards = self.shards();
        if shards.is_empty() {
            return None;
        }
        if self.revision.is_none() {
            return Some(Question::Revision);
        }
        let Some(waiting) = &self.waiting else {
            return Some(Question::Waiting(shards));
        };
        if self.loaded.is_none() && !waiting.is_empty() {
            let lanes: BTreeSet<Uuid> = waiting.iter().map(|waiting| waiting.lane_id).collect();
            return Some(Question::OfLanes(lanes.into_iter().collect()));
        }
        (!self.is_settled).then_some(Question::SettleForeignEvents)
    }

    pub(super) fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Revision(revision) => self.revision = Some(revision),
            Answer::Subscriptions(loaded) => self.loaded = Some(loaded),
            Answer::Waiting(waiting) => self.waiting = Some(waiting),
            Answer::Settled => self.is_settled = true,
            answer => debug_assert!(false, "{answer:?} says nothing of new shards"),
        }
    }
}

impl Reader {
    /// Asks what is yet to be known of new shards; once all is, they begin to catch up, after it
    /// is seen whether they are still ours.
    pub(super) fn adopt(&mut self, adopting: Adopting, now: Instant) {
        if let Some(question) = adopting.question() {
            return self.ask(Doing::Adopting(adopting), question);
        }
        let Adopting {
            taken,
            revision,
            waiting,
            loaded,
            ..
        } = adopting;
        if let (Some(revision), Some(waiting)) = (revision, waiting) {
            self.revision.get_or_insert(revision);
            self.merchants.adopt(taken.iter().map(|taken| taken.shard));
            let subscriptions = self.learn(&[], loaded.unwrap_or_default(), now);
            let shards = taken.iter().map(|taken| (taken.shard, taken.epoch));
            self.tell(Input::Adopt(Adoption {
                shards: shards.collect(),
                subscriptions,
                waiting,
            }));
        }
        for (start, shards) in self.progress.adopted() {
            match start {
                Start::Checkpoint => {}
                Start::Restarted => info!(
                    shards,
                    "the server was restarted since the last checkpoint; comparing events with deliveries"
                ),
                Start::Restored => warn!(
                    shards,
                    "the last checkpoint is of another database, before a restore, a copy or an upgrade; comparing events with deliveries"
                ),
            }
        }
        self.reading.found = true;
        self.finish(now);
    }
}
