//! Record: gathers what became of deliveries and writes it in batches, each in one fenced
//! transaction.

mod lesser;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::timeout_at;
use tracing::{error, warn};
use uuid::Uuid;

use self::lesser::lesser;
use crate::crash::Point;
use crate::flow::entry::{Backlog, Change, Entry, PageId, ToRecord, Written};
use crate::flow::input::{Input, Recorded, RecordedKind};
use crate::flow::{AWAY, STATEMENT};
use crate::http::metrics::Metrics;
use crate::model::{DeliveryKey, Shard};
use crate::store::ledger::write_batch;
use crate::store::{Pool, StoreError, within};

/// How often a batch is written again because rows of it are there: an earlier try of it that
/// was under way shows at the first, so what still stands there is another one's.
const REPETITIONS: u32 = 3;

#[derive(Clone, Copy, Debug)]
pub struct RecorderSettings {
    /// A batch is written when its first entry is this old,
    pub flush_after: Duration,
    /// or when it has so many.
    pub flush_rows: usize,
}

/// What is written together.
#[derive(Debug, Default)]
pub struct Batch {
    pub entries: Vec<Entry>,
    pub pages: Vec<Option<PageId>>,
    keys: HashSet<DeliveryKey>,
    /// Whether some event of it takes the place of older ones.
    replaces: bool,
}

impl Batch {
    /// A delivery stands in a batch once only: all parts of the statement see the same
    /// snapshot, so a row made and removed in it would stay. For the same reason an event
    /// that takes the place of older ones does not stand beside others of its transaction.
    /// What does not fit is returned: it begins the next batch.
    pub fn add(&mut self, next: ToRecord) -> Option<ToRecord> {
        let replaces = |entry: &Entry| matches!(entry.change, Change::SupersedeOlder { .. });
        let is_of_one = |entry: &Entry| {
            entry.key.subscription_id == next.entry.key.subscription_id
                && entry.transaction_id == next.entry.transaction_id
        };
        let next_replaces = replaces(&next.entry);
        let does_not_fit = self.keys.contains(&next.entry.key)
            || (self.replaces || next_replaces)
                && self
                    .entries
                    .iter()
                    .any(|entry| is_of_one(entry) && (next_replaces || replaces(entry)));
        if does_not_fit {
            return Some(next);
        }
        self.replaces |= next_replaces;
        self.keys.insert(next.entry.key);
        self.entries.push(next.entry);
        self.pages.push(next.page);
        None
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

pub struct Recorder {
    pub pool: Pool,
    pub owner: Uuid,
    pub settings: RecorderSettings,
    pub metrics: Metrics,
    pub backlog: Backlog,
    pub dispatcher: UnboundedSender<Input>,
}

impl Recorder {
    /// Writes until the dispatcher is gone and everything it handed over is written. The
    /// channel is bounded by the dispatcher, which sends nothing new while too much is
    /// unrecorded.
    pub async fn run(self, mut entries: UnboundedReceiver<ToRecord>) {
        let mut batch = Batch::default();
        loop {
            if batch.is_empty() {
                let Some(first) = entries.recv().await else {
                    return;
                };
                batch.add(first);
            }
            let next = self.gather(&mut entries, &mut batch).await;
            self.write(std::mem::take(&mut batch)).await;
            if let Some(next) = next {
                batch.add(next);
            }
        }
    }

    /// Fills the batch; returns the entry that begins the next one.
    async fn gather(
        &self,
        entries: &mut UnboundedReceiver<ToRecord>,
        batch: &mut Batch,
    ) -> Option<ToRecord> {
        let deadline = tokio::time::Instant::now() + self.settings.flush_after;
        while batch.len() < self.settings.flush_rows {
            let Ok(Some(next)) = timeout_at(deadline, entries.recv()).await else {
                break;
            };
            if let Some(next) = batch.add(next) {
                return Some(next);
            }
        }
        None
    }

    /// Writes a batch, however long the database is away: an entry that is dropped would be
    /// a delivery made again.
    async fn write(&self, batch: Batch) {
        let Batch { entries, pages, .. } = batch;
        let count = entries.len();
        let attempts = entries.iter().filter(|entry| entry.attempt.is_some());
        let attempts = attempts.count();
        let mut recorded = Vec::with_capacity(count);
        let mut rest = vec![(entries, pages)];
        while let Some((mut entries, mut pages)) = rest.pop() {
            match self.write_until_answered(&entries).await {
                Ok(written) => {
                    recorded.extend(acknowledge(&entries, &pages, &written, Instant::now()));
                }
                Err(error) if entries.len() > 1 => {
                    warn!(%error, entries = entries.len(), "a batch was refused; writing it in halves");
                    let half = entries.len() / 2;
                    rest.push((entries.split_off(half), pages.split_off(half)));
                    rest.push((entries, pages));
                }
                Err(error) => {
                    for (entry, page) in entries.into_iter().zip(pages) {
                        recorded.extend(self.write_less(entry, page, &error).await);
                    }
                }
            }
        }
        self.backlog.take(count, attempts);
        // The dispatcher is gone only when the worker ends.
        let _ = self.dispatcher.send(Input::Recorded(recorded));
    }

    /// Waits out a database that is away; returns an error only for what it refuses.
    async fn write_until_answered(&self, entries: &[Entry]) -> Result<Written, StoreError> {
        let (mut said, mut again, mut repetitions) = (false, false, 0);
        loop {
            let started = Instant::now();
            Point::BeforeCommit.pass();
            match within(
                STATEMENT,
                write_batch(&self.pool, self.owner, entries, again),
            )
            .await
            {
                Ok(written) => {
                    Point::AfterCommit.pass();
                    self.metrics
                        .batch_written(entries.len() as u64, started.elapsed());
                    if written.conflicts > 0 {
                        self.metrics.ledger_conflicts(written.conflicts);
                        warn!(
                            rows = written.conflicts,
                            "deliveries that had ended ended again; the first ending stays"
                        );
                    }
                    return Ok(written);
                }
                Err(error) if error.is_of_the_rows() => return Err(error),
                Err(error) if error.is_repetition() && repetitions < REPETITIONS => {
                    again = true;
                    repetitions += 1;
                }
                Err(error) if error.is_repetition() => return Err(error),
                Err(error) => {
                    // It may have been committed all the same.
                    again = true;
                    self.metrics.database_error();
                    if !said {
                        warn!(%error, entries = entries.len(), "cannot record; trying until the database is back");
                        said = true;
                    }
                    tokio::time::sleep(AWAY).await;
                }
            }
        }
    }

    /// Of an entry that the database refuses by itself, as much as it takes is written: it must
    /// not stop the lane. If it takes nothing, the dispatcher is told.
    async fn write_less(
        &self,
        entry: Entry,
        page: Option<PageId>,
        error: &StoreError,
    ) -> Vec<Recorded> {
        let (event, subscription) = (entry.key.event_id, entry.key.subscription_id);
        error!(%event, %subscription, %error, "the database refuses to record this delivery as it is");
        self.metrics.entry_refused();
        for less in lesser(&entry) {
            let less = [less];
            if let Ok(written) = self.write_until_answered(&less).await {
                return acknowledge(&less, &[page], &written, Instant::now()).collect();
            }
        }
        error!(%event, %subscription, "nor anything less of it; nothing is recorded");
        // The dispatcher is gone only when the worker ends.
        let _ = self
            .dispatcher
            .send(Input::Refused(Box::new(ToRecord { entry, page })));
        Vec::new()
    }
}

/// What the dispatcher is told of a batch that was written at `now`.
pub fn acknowledge(
    entries: &[Entry],
    pages: &[Option<PageId>],
    written: &Written,
    now: Instant,
) -> impl Iterator<Item = Recorded> {
    entries
        .iter()
        .zip(pages)
        .map(move |(entry, page)| Recorded {
            key: entry.key,
            lane_id: entry.lane_id,
            shard: entry.shard,
            epoch: entry.epoch,
            page: *page,
            kind: if written.lost.contains(&entry.shard) {
                RecordedKind::Fenced
            } else {
                kind_of(&entry.change, now)
            },
        })
}

fn kind_of(change: &Change, now: Instant) -> RecordedKind {
    match change {
        Change::Finish { state, .. } => RecordedKind::Finished(*state),
        Change::Retry { delay, .. } => RecordedKind::Retry(now + *delay),
        Change::Spill => RecordedKind::Spilled,
        Change::SupersedeOlder { .. } => RecordedKind::SupersededOlder,
    }
}

/// The shards among these that were fenced off.
#[must_use]
pub fn fenced(recorded: &[Recorded]) -> HashSet<Shard> {
    let lost = recorded
        .iter()
        .filter(|entry| entry.kind == RecordedKind::Fenced);
    lost.map(|entry| entry.shard).collect()
}
