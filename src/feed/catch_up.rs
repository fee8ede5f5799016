//! Shards that were just taken: what the dispatcher must know of them, and reading from
//! where their last owner left off until they can join the live ones.

use std::collections::HashSet;

use chrono::TimeDelta;
use tracing::{info, warn};
use uuid::Uuid;

use super::floor::first_id_at;
use super::reader::{Live, Reader};
use super::window::Window;
use crate::dispatch::input::{Adoption, Input};
use crate::model::{DeliveryKey, Event, Shard, Snapshot};
use crate::store::events::{current_snapshot, read_by_id, settle_foreign_events};
use crate::store::known::find_known_deliveries;
use crate::store::pending::count_waiting;
use crate::store::shards::Taken;
use crate::store::subscriptions::{current_revision, load_subscriptions};
use crate::store::{STATEMENT, StoreError, within};

/// After a restart of the server, events from this long before the last checkpoint are
/// compared: clocks may have stepped a little.
const RESTARTED: TimeDelta = TimeDelta::minutes(1);

/// In another cluster, where not even old transaction ids mean anything, it is this long:
/// a transaction that was open for longer does not outlive a restore.
const RESTORED: TimeDelta = TimeDelta::hours(24);

/// Shards that are being read from their last owner's checkpoint.
#[derive(Debug)]
pub(super) struct CatchUp {
    pub(super) shards: Vec<Shard>,
    pub(super) reading: Reading,
}

#[derive(Debug)]
pub(super) enum Reading {
    /// From the checkpoint; what the last owner recorded is left out.
    Behind(Window),
    /// After a restart or in another cluster: by id, comparing with what is recorded.
    Comparing {
        /// First what the transactions wrote that ran at the checkpoint.
        late: Option<Window>,
        after: Uuid,
        until: Option<Snapshot>,
    },
    /// What came during the catch-up; the live shards then read to the same end.
    Approaching(Window),
}

impl Reader {
    /// Loads what the dispatcher needs to know of new shards, and begins to catch up.
    pub(super) async fn adopt(
        &mut self,
        taken: Vec<Taken>,
        cluster: &str,
    ) -> Result<(), StoreError> {
        let shards: Vec<Shard> = taken.iter().map(|taken| taken.shard).collect();
        if shards.is_empty() {
            return Ok(());
        }
        let pool = &self.with.pool;
        // Before the rows: a change in between is loaded again with the next page.
        let revision = within(STATEMENT, current_revision(pool)).await?;
        let rows = within(STATEMENT * 3, load_subscriptions(pool, -1, Some(&shards))).await?;
        let waiting = within(STATEMENT * 3, count_waiting(pool, &shards)).await?;
        if taken.iter().any(|taken| taken.cluster != cluster) {
            within(STATEMENT * 60, settle_foreign_events(pool)).await?;
        }
        let subscriptions = self.resolve(rows).await?;
        self.revision.get_or_insert(revision);
        self.tell(Input::Adopt(Adoption {
            shards: taken
                .iter()
                .map(|taken| (taken.shard, taken.epoch, taken.checkpoint.clone()))
                .collect(),
            subscriptions,
            waiting,
        }));
        for (start, shards) in by_start(&taken, cluster) {
            if start != Start::Checkpoint {
                warn!(
                    shards = shards.len(),
                    ?start,
                    cluster,
                    "transaction ids of the last checkpoint cannot be relied on; comparing events with deliveries"
                );
            }
            let reading = start.reading(shards[0]);
            let shards = shards.iter().map(|taken| taken.shard).collect();
            self.catch_ups.push_back(CatchUp { shards, reading });
        }
        Ok(())
    }

    /// One page for the shards that catch up first.
    pub(super) async fn catch_up(&mut self) -> Result<bool, StoreError> {
        let Some(mut catch_up) = self.catch_ups.pop_front() else {
            return Ok(false);
        };
        let turned = self.turn_catch_up(&mut catch_up).await;
        let (found, complete) = match turned {
            Ok(turned) => turned,
            Err(error) => {
                self.catch_ups.push_front(catch_up);
                return Err(error);
            }
        };
        let Some(end) = complete else {
            self.catch_ups.push_front(catch_up);
            return Ok(found);
        };
        self.tell(Input::WindowRead {
            shards: catch_up.shards.clone(),
            end: end.clone(),
        });
        match (catch_up.reading, self.live.at.clone()) {
            (_, None) => {
                info!(shards = catch_up.shards.len(), "caught up");
                self.live = Live {
                    shards: catch_up.shards,
                    at: Some(end),
                    ..Live::default()
                };
            }
            (Reading::Approaching(_), Some(live)) => {
                info!(shards = catch_up.shards.len(), "caught up");
                self.live.window = Some(Window::since(&live, Some(end)));
                self.live.joining = catch_up.shards;
            }
            (Reading::Behind(_) | Reading::Comparing { .. }, Some(_)) => {
                let reading = Reading::Approaching(Window::since(&end, None));
                self.catch_ups.push_front(CatchUp {
                    shards: catch_up.shards,
                    reading,
                });
            }
        }
        Ok(found)
    }

    async fn turn_catch_up(
        &mut self,
        catch_up: &mut CatchUp,
    ) -> Result<(bool, Option<Snapshot>), StoreError> {
        let (events, complete, compare) = match &mut catch_up.reading {
            Reading::Behind(window) => {
                let (events, complete) = self.turn(window, &catch_up.shards).await?;
                (events, complete, true)
            }
            Reading::Approaching(window) => {
                let (events, complete) = self.turn(window, &catch_up.shards).await?;
                (events, complete, false)
            }
            Reading::Comparing {
                late: late @ Some(_),
                ..
            } => {
                let Some(window) = late else {
                    return Ok((false, None));
                };
                let (events, complete) = self.turn(window, &catch_up.shards).await?;
                if complete.is_some() {
                    *late = None;
                }
                (events, None, true)
            }
            Reading::Comparing { after, until, .. } => {
                let (events, complete) = self.compare(after, until, &catch_up.shards).await?;
                (events, complete, true)
            }
        };
        let known = if compare {
            self.known(&events).await
        } else {
            HashSet::new()
        };
        let found = !events.is_empty();
        self.hand_over(events, known).await;
        Ok((found, complete))
    }

    async fn compare(
        &self,
        after: &mut Uuid,
        until: &mut Option<Snapshot>,
        shards: &[Shard],
    ) -> Result<(Vec<Event>, Option<Snapshot>), StoreError> {
        let pool = &self.with.pool;
        let end = match until {
            Some(end) => end.clone(),
            None => until
                .insert(within(STATEMENT, current_snapshot(pool)).await?)
                .clone(),
        };
        let limit = i64::from(self.settings.page_rows);
        let events = within(STATEMENT * 3, read_by_id(pool, shards, *after, &end, limit)).await?;
        let last = events.last().map(|event| event.id);
        *after = last.unwrap_or(*after);
        let full = events.len() >= self.settings.page_rows as usize;
        Ok((events, (!full).then_some(end)))
    }

    /// Which deliveries of these events were recorded before the shard changed hands.
    async fn known(&mut self, events: &[Event]) -> HashSet<DeliveryKey> {
        if events.is_empty() {
            return HashSet::new();
        }
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        let pool = self.with.pool.clone();
        let known = self.insist(|| find_known_deliveries(&pool, &ids)).await;
        known.into_keys().collect()
    }
}

/// How a shard that was taken begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// After its checkpoint.
    Checkpoint,
    /// The server was restarted since, or failed over: transaction ids from before it may
    /// have been given again.
    Restarted,
    /// This is another cluster: a restored or upgraded one.
    Restored,
}

impl Start {
    fn of(taken: &Taken, cluster: &str) -> Self {
        let system = |cluster: &str| cluster.split('/').next().map(str::to_owned);
        if taken.cluster == cluster {
            Self::Checkpoint
        } else if system(&taken.cluster) == system(cluster) {
            Self::Restarted
        } else {
            Self::Restored
        }
    }

    fn reading(self, taken: &Taken) -> Reading {
        match self {
            Self::Checkpoint => Reading::Behind(Window::since(&taken.checkpoint, None)),
            Self::Restarted => Reading::Comparing {
                late: Some(Window::of_late_ones(&taken.checkpoint)),
                after: first_id_at(taken.checkpoint_at - RESTARTED),
                until: None,
            },
            Self::Restored => Reading::Comparing {
                late: None,
                after: first_id_at(taken.checkpoint_at - RESTORED),
                until: None,
            },
        }
    }
}

/// Shards that begin alike are read together: those of a worker that died have the same
/// checkpoint as a rule.
fn by_start<'a>(taken: &'a [Taken], cluster: &str) -> Vec<(Start, Vec<&'a Taken>)> {
    let mut groups: Vec<(Start, Vec<&Taken>)> = Vec::new();
    for taken in taken {
        let start = Start::of(taken, cluster);
        let alike = |other: &Taken| {
            other.checkpoint == taken.checkpoint && other.checkpoint_at == taken.checkpoint_at
        };
        match groups
            .iter_mut()
            .find(|(kind, group)| *kind == start && alike(group[0]))
        {
            Some((_, group)) => group.push(taken),
            None => groups.push((start, vec![taken])),
        }
    }
    groups
}
