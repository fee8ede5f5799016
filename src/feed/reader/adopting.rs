//! Shards that were just taken: what the dispatcher must know of them before anything is read.

use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use super::{Answer, Doing, Question, Reader};
use crate::feed::progress::Start;
use crate::flow::input::{Adoption, Input};
use crate::flow::refill::Waiting;
use crate::flow::shards::Taken;
use crate::model::{Shard, Subscription};

/// What is known of the shards so far. If the database fails to answer, it begins anew.
#[derive(Debug)]
pub(super) struct Adopting {
    taken: Vec<Taken>,
    revision: Option<i64>,
    subscriptions: Option<Vec<Arc<Subscription>>>,
    /// Whether it is known when the configuration was changed last.
    knows_change: bool,
    waiting: Option<Vec<Waiting>>,
    /// Whether no event has a transaction id of another cluster.
    is_settled: bool,
}

impl Adopting {
    pub(super) fn of(taken: Vec<Taken>, cluster: &str) -> Self {
        let is_settled = taken.iter().all(|taken| taken.cluster == cluster);
        Self {
            taken,
            revision: None,
            subscriptions: None,
            knows_change: false,
            waiting: None,
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
        if self.subscriptions.is_none() {
            return Some(Question::Subscriptions { after: -1, shards });
        }
        if !self.knows_change {
            return Some(Question::NewestChange);
        }
        if self.waiting.is_none() {
            return Some(Question::Waiting(shards));
        }
        (!self.is_settled).then_some(Question::SettleForeignEvents)
    }

    pub(super) fn take(&mut self, answer: Answer, reader: &mut Reader, now: Instant) {
        match answer {
            Answer::Revision(revision) => self.revision = Some(revision),
            Answer::Subscriptions(rows) => self.subscriptions = Some(reader.resolved(rows, now)),
            Answer::Changed(at) => {
                reader.changed_at = at;
                self.knows_change = true;
            }
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
            subscriptions,
            waiting,
            ..
        } = adopting;
        if let (Some(revision), Some(subscriptions), Some(waiting)) =
            (revision, subscriptions, waiting)
        {
            self.revision.get_or_insert(revision);
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
