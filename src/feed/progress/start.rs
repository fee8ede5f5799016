//! How shards that were just taken begin, and what is read of them until they have caught up.

use std::collections::HashSet;

use chrono::TimeDelta;
use uuid::Uuid;

use super::Answer;
use crate::feed::window::Window;
use crate::flow::shards::Taken;
use crate::model::cluster::tables_of;
use crate::model::event::first_id_at;
use crate::model::{Event, Snapshot};

/// After a restart of the server, events from this long before the last checkpoint are
/// compared: clocks may have stepped a little.
const RESTARTED: TimeDelta = TimeDelta::minutes(1);

/// In other tables, where not even old transaction ids mean anything, it is this long:
/// a transaction that was open for longer does not outlive a restore.
const RESTORED: TimeDelta = TimeDelta::hours(24);

#[derive(Debug)]
pub(super) enum Reading {
    /// From the checkpoint; what the last owner recorded is left out.
    Behind(Window),
    /// After a restart or in another cluster: by id, comparing with what is recorded.
    Comparing {
        /// First what the transactions wrote that ran at the checkpoint.
        late: Option<Window>,
        /// Of that, what will be met again by its id.
        met: HashSet<Uuid>,
        after: Uuid,
        until: Option<Snapshot>,
    },
    /// What came during the catch-up; the live shards then read to the same end.
    Approaching(Window),
}

impl Reading {
    /// Takes what was read; returns its events, and the end once all is read.
    pub(super) fn turn(&mut self, answer: Answer, limit: i64) -> (Vec<Event>, Option<Snapshot>) {
        match (self, answer) {
            (Self::Behind(window) | Self::Approaching(window), Answer::Page(page)) => {
                let turned = window.turn(page);
                (turned.events, turned.complete)
            }
            (
                Self::Comparing {
                    late, met, after, ..
                },
                Answer::Page(page),
            ) => {
                let turned = late.as_mut().map(|window| window.turn(page));
                let (events, complete) =
                    turned.map_or((Vec::new(), None), |it| (it.events, it.complete));
                if complete.is_some() {
                    *late = None;
                }
                let ids = events.iter().map(|event| event.id);
                met.extend(ids.filter(|id| id > after));
                (events, None)
            }
            (
                Self::Comparing { met, after, .. },
                Answer::ById {
                    until: end,
                    mut events,
                },
            ) => {
                *after = events.last().map_or(*after, |event| event.id);
                let full = usize::try_from(limit).is_ok_and(|limit| events.len() >= limit);
                events.retain(|event| !met.remove(&event.id));
                (events, (!full).then_some(end))
            }
            (Self::Comparing { until, .. }, Answer::Snapshot(end)) => {
                *until = Some(end);
                (Vec::new(), None)
            }
            (Self::Behind(_) | Self::Approaching(_), Answer::Snapshot(_) | Answer::ById { .. }) => {
                (Vec::new(), None)
            }
        }
    }
}

/// How a shard that was taken begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After its checkpoint.
    Checkpoint,
    /// The server was restarted since, or failed over: transaction ids from before it may
    /// have been given again.
    Restarted,
    /// These are other tables: of a restored, copied or upgraded database.
    Restored,
}

impl Start {
    pub(super) fn of(taken: &Taken, cluster: &str) -> Self {
        if taken.cluster == cluster {
            Self::Checkpoint
        } else if tables_of(&taken.cluster) == tables_of(cluster) {
            Self::Restarted
        } else {
            Self::Restored
        }
    }

    pub(super) fn reading(self, taken: &Taken) -> Reading {
        match self {
            Self::Checkpoint => Reading::Behind(Window::since(&taken.checkpoint, None)),
            Self::Restarted => Reading::Comparing {
                late: Some(Window::of_late_ones(&taken.checkpoint)),
                met: HashSet::new(),
                after: first_id_at(taken.checkpoint_at - RESTARTED),
                until: None,
            },
            Self::Restored => Reading::Comparing {
                late: None,
                met: HashSet::new(),
                after: first_id_at(taken.checkpoint_at - RESTORED),
                until: None,
            },
        }
    }
}

/// Shards that begin alike are read together: those of a worker that died have the same
/// checkpoint as a rule.
pub(super) fn by_start<'a>(taken: &'a [Taken], cluster: &str) -> Vec<(Start, Vec<&'a Taken>)> {
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
