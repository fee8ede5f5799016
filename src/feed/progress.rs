//! How far the log has been read, for which shards, and what to read next. A state machine
//! without I/O.
//!
//! The live shards are read to the same snapshot, as their events are committed. Shards
//! that were just taken catch up from their last owner's checkpoint, and join the live ones
//! where both have been read to the same snapshot.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::info;
use uuid::Uuid;

use super::floor::Floor;
use super::window::{Left, Turned, Window};
use crate::flow::shards::Taken;
use crate::flow::window::{PageRequest, WindowPage};
use crate::model::cluster::tables_of;
use crate::model::event::first_id_at;
use crate::model::{Event, Shard, Snapshot};

/// After a restart of the server, events from this long before the last checkpoint are
/// compared: clocks may have stepped a little.
const RESTARTED: TimeDelta = TimeDelta::minutes(1);

/// In other tables, where not even old transaction ids mean anything, it is this long:
/// a transaction that was open for longer does not outlive a restore.
const RESTORED: TimeDelta = TimeDelta::hours(24);

#[derive(Debug, Default)]
pub struct Progress {
    to_adopt: VecDeque<(Vec<Taken>, String)>,
    catch_ups: VecDeque<CatchUp>,
    live: Live,
    floor: Floor,
}

/// The shards whose events are read as they are committed, all to the same snapshot.
#[derive(Debug, Default)]
struct Live {
    shards: Vec<Shard>,
    at: Option<Snapshot>,
    /// Transactions that were not read to their end, which run at `at`.
    left: Vec<Left>,
    window: Option<Window>,
    /// Shards that have caught up to the end of `window` and join there.
    joining: Vec<Shard>,
}

impl Live {
    /// Whether everything up to `at` has been read, and nothing is being read.
    const fn is_whole(&self) -> bool {
        self.window.is_none() && self.left.is_empty()
    }
}

/// Shards that are being read from their last owner's checkpoint.
#[derive(Debug)]
struct CatchUp {
    shards: Vec<Shard>,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
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

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    CatchUp,
    Live,
}

/// What to read.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A page of a window; no row below `floor` can be of it.
    Page {
        request: PageRequest,
        shards: Vec<Shard>,
        floor: Uuid,
    },
    /// Events by id, up to a snapshot; none: that of this moment.
    ById {
        after: Uuid,
        until: Option<Snapshot>,
        shards: Vec<Shard>,
        limit: i64,
    },
}

/// What was read.
#[derive(Debug)]
pub enum Answer {
    Page(WindowPage),
    ById { until: Snapshot, events: Vec<Event> },
}

/// What to do with it.
#[derive(Debug)]
pub struct Found {
    pub events: Vec<Event>,
    /// Deliveries of these events that have a row already are to be left out.
    pub compare: bool,
    /// With these events the shards have been read up to this snapshot.
    pub window_read: Option<(Vec<Shard>, Snapshot)>,
}

impl Progress {
    /// Shards that were taken, in the cluster named.
    pub fn take_up(&mut self, taken: Vec<Taken>, cluster: String) {
        self.to_adopt.push_back((taken, cluster));
    }

    /// Shards that are handed over, or lost.
    pub fn let_go(&mut self, shards: &[Shard]) {
        let stays = |shard: &Shard| !shards.contains(shard);
        self.live.shards.retain(stays);
        self.live.joining.retain(stays);
        for catch_up in &mut self.catch_ups {
            catch_up.shards.retain(stays);
        }
        self.catch_ups
            .retain(|catch_up| !catch_up.shards.is_empty());
        for (taken, _) in &mut self.to_adopt {
            taken.retain(|taken| stays(&taken.shard));
        }
        if self.live.shards.is_empty() && self.live.joining.is_empty() {
            self.live = Live::default();
        }
    }

    /// Shards of which the dispatcher must learn before anything is read for them, and
    /// their cluster.
    #[must_use]
    pub fn to_adopt(&self) -> Option<&(Vec<Taken>, String)> {
        self.to_adopt.front()
    }

    /// It has learnt of them: they begin to catch up. Returns how, for each group of them.
    pub fn adopted(&mut self) -> Vec<(Start, usize)> {
        let Some((taken, cluster)) = self.to_adopt.pop_front() else {
            return Vec::new();
        };
        let mut starts = Vec::new();
        for (start, group) in by_start(&taken, &cluster) {
            starts.push((start, group.len()));
            let reading = start.reading(group[0]);
            let shards = group.iter().map(|taken| taken.shard).collect();
            self.catch_ups.push_back(CatchUp { shards, reading });
        }
        starts
    }

    /// One page is read at a time, or one for each while some catch up. Shards join the live
    /// ones where nothing is left.
    #[must_use]
    pub fn turns(&self) -> &'static [Turn] {
        match self.catch_ups.front().map(|catch_up| &catch_up.reading) {
            Some(Reading::Approaching(_)) if self.live.is_whole() => &[Turn::CatchUp],
            Some(Reading::Behind(_) | Reading::Comparing { .. }) => &[Turn::CatchUp, Turn::Live],
            Some(Reading::Approaching(_)) | None => &[Turn::Live],
        }
    }

    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.live.is_whole() || !self.catch_ups.is_empty() || !self.to_adopt.is_empty()
    }

    /// Up to where everything has been read; none while something is left.
    #[must_use]
    pub fn read_up_to(&self) -> Option<&Snapshot> {
        self.live.at.as_ref().filter(|_| !self.is_behind())
    }

    #[must_use]
    pub fn has_nothing_to_read(&self) -> bool {
        self.live.shards.is_empty() && !self.is_behind()
    }

    #[must_use]
    pub fn live_shards(&self) -> &[Shard] {
        &self.live.shards
    }

    /// What to read; asked again, the same until it is answered. `limit` is in events.
    pub fn ask(&mut self, turn: Turn, limit: i64) -> Option<Ask> {
        let Self {
            catch_ups,
            live,
            floor,
            ..
        } = self;
        let (window, shards) = match turn {
            Turn::Live => {
                let at = live.at.as_ref()?;
                let window = live
                    .window
                    .get_or_insert_with(|| Window::in_turns(at, &live.left));
                (window, &live.shards)
            }
            Turn::CatchUp => {
                let CatchUp { shards, reading } = catch_ups.front_mut()?;
                match reading {
                    Reading::Behind(window)
                    | Reading::Approaching(window)
                    | Reading::Comparing {
                        late: Some(window), ..
                    } => (window, &*shards),
                    Reading::Comparing { after, until, .. } => {
                        return Some(Ask::ById {
                            after: *after,
                            until: until.clone(),
                            shards: shards.clone(),
                            limit,
                        });
                    }
                }
            }
        };
        Some(Ask::Page {
            floor: floor.for_window(window.from()),
            request: window.next_page(limit).clone(),
            shards: shards.clone(),
        })
    }

    /// Takes the answer to what was asked; `limit` as then, `now` is the database's time.
    pub fn answered(
        &mut self,
        turn: Turn,
        answer: Answer,
        limit: i64,
        now: DateTime<Utc>,
    ) -> Found {
        match turn {
            Turn::Live => self.read_live(answer, now),
            Turn::CatchUp => self.caught_up(answer, limit),
        }
    }

    fn read_live(&mut self, answer: Answer, now: DateTime<Utc>) -> Found {
        let Turned {
            events,
            complete,
            left,
        } = match (&mut self.live.window, answer) {
            (Some(window), Answer::Page(page)) => window.turn(page),
            _ => Turned::default(),
        };
        let window_read = complete.map(|end| {
            self.floor.pass(now, &end);
            self.live.left = left;
            let shards = self.live.shards.clone();
            self.live.window = None;
            self.live.at = Some(end.clone());
            self.live.shards.append(&mut self.live.joining);
            (shards, end)
        });
        Found {
            events,
            compare: false,
            window_read,
        }
    }

    fn caught_up(&mut self, answer: Answer, limit: i64) -> Found {
        let Some(mut catch_up) = self.catch_ups.pop_front() else {
            return Found {
                events: Vec::new(),
                compare: false,
                window_read: None,
            };
        };
        let compare = !matches!(catch_up.reading, Reading::Approaching(_));
        let (events, complete) = catch_up.reading.turn(answer, limit);
        let window_read = complete.map(|end| (catch_up.shards.clone(), end));
        match &window_read {
            None => self.catch_ups.push_front(catch_up),
            Some((_, end)) => self.reached(catch_up, end),
        }
        Found {
            events,
            compare,
            window_read,
        }
    }

    /// Shards that catch up have been read to the end of their window.
    fn reached(&mut self, catch_up: CatchUp, end: &Snapshot) {
        let CatchUp { shards, reading } = catch_up;
        match (reading, &self.live.at) {
            (_, None) => {
                info!(shards = shards.len(), "caught up");
                self.live = Live {
                    shards,
                    at: Some(end.clone()),
                    ..Live::default()
                };
            }
            (Reading::Approaching(_), Some(live)) => {
                info!(shards = shards.len(), "caught up");
                self.live.window = Some(Window::since(live, Some(end.clone())));
                self.live.joining = shards;
            }
            (Reading::Behind(_) | Reading::Comparing { .. }, Some(_)) => {
                let reading = Reading::Approaching(Window::since(end, None));
                self.catch_ups.push_front(CatchUp { shards, reading });
            }
        }
    }
}

impl Reading {
    /// Takes what was read; returns its events, and the end once all is read.
    fn turn(&mut self, answer: Answer, limit: i64) -> (Vec<Event>, Option<Snapshot>) {
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
                Self::Comparing {
                    met, after, until, ..
                },
                Answer::ById {
                    until: end,
                    mut events,
                },
            ) => {
                *until = Some(end.clone());
                *after = events.last().map_or(*after, |event| event.id);
                let full = usize::try_from(limit).is_ok_and(|limit| events.len() >= limit);
                events.retain(|event| !met.remove(&event.id));
                (events, (!full).then_some(end))
            }
            (Self::Behind(_) | Self::Approaching(_), Answer::ById { .. }) => (Vec::new(), None),
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
    fn of(taken: &Taken, cluster: &str) -> Self {
        if taken.cluster == cluster {
            Self::Checkpoint
        } else if tables_of(&taken.cluster) == tables_of(cluster) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use crate::model::{Epoch, samples};

    const LIMIT: i64 = 2;
    const HERE: &str = "1/2/3";

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    fn page(until: &str, rows: &[(u64, u128)]) -> Answer {
        let event = |(xid, number): &(u64, u128)| {
            let mut event = samples::event();
            event.id = Uuid::from_u128(*number);
            (*xid, event)
        };
        Answer::Page(WindowPage {
            until: snapshot(until),
            events: rows.iter().map(event).collect(),
            overtaking: HashSet::new(),
            revision: 0,
        })
    }

    fn take(progress: &mut Progress, shard: i16, checkpoint: &str) {
        let taken = Taken {
            shard: Shard(shard),
            epoch: Epoch(1),
            checkpoint: snapshot(checkpoint),
            checkpoint_at: DateTime::UNIX_EPOCH,
            cluster: HERE.to_owned(),
        };
        progress.take_up(vec![taken], HERE.to_owned());
        progress.adopted();
    }

    /// Asks and answers; returns how far the shards have been read with that.
    fn turn(progress: &mut Progress, turn: Turn, answer: Answer) -> Option<String> {
        progress.ask(turn, LIMIT).unwrap();
        let found = progress.answered(turn, answer, LIMIT, DateTime::UNIX_EPOCH);
        found.window_read.map(|(_, end)| end.to_string())
    }

    /// Live since a moment at which transaction 5 ran, of which two events were read.
    fn with_a_large_one() -> Progress {
        let mut progress = Progress::default();
        take(&mut progress, 0, "9:9:");
        turn(&mut progress, Turn::CatchUp, page("5:9:5", &[]));
        let large = || page("12:12:", &[(5, 1), (5, 2)]);
        assert_eq!(turn(&mut progress, Turn::Live, large()), None);
        let end = turn(&mut progress, Turn::Live, large());
        assert_eq!(end.unwrap(), "5:12:5", "it counts as running");
        progress
    }

    fn late(progress: &mut Progress) -> Vec<(u64, u128, bool)> {
        match progress.ask(Turn::Live, LIMIT).unwrap() {
            Ask::Page { request, .. } => {
                let late = request.late.iter();
                late.map(|it| (it.xid, it.after.as_u128(), it.left))
                    .collect()
            }
            Ask::ById { .. } => panic!("live shards are read by windows"),
        }
    }

    #[test]
    fn while_a_transaction_is_left_there_is_more_to_read() {
        let mut progress = with_a_large_one();
        assert!(progress.is_behind());
        assert_eq!(progress.read_up_to(), None);
        assert_eq!(late(&mut progress), [(5, 2, true)]);
        let end = turn(&mut progress, Turn::Live, page("13:13:", &[(5, 3)]));
        assert_eq!(end.unwrap(), "13:13:");
        assert!(!progress.is_behind());
        assert_eq!(progress.read_up_to(), Some(&snapshot("13:13:")));
    }

    #[test]
    fn shards_join_once_nothing_is_left() {
        let mut progress = with_a_large_one();
        take(&mut progress, 1, "9:9:");
        assert_eq!(progress.turns(), [Turn::CatchUp, Turn::Live]);
        turn(&mut progress, Turn::CatchUp, page("12:12:", &[]));
        assert_eq!(progress.turns(), [Turn::Live]);
        turn(&mut progress, Turn::Live, page("13:13:", &[(5, 3), (5, 4)]));
        assert_eq!(progress.turns(), [Turn::Live]);
        turn(&mut progress, Turn::Live, page("14:14:", &[(5, 5)]));
        assert_eq!(progress.turns(), [Turn::CatchUp]);
        turn(&mut progress, Turn::CatchUp, page("15:15:", &[]));
        assert_eq!(progress.turns(), [Turn::Live]);
        turn(&mut progress, Turn::Live, page("15:15:", &[]));
        assert_eq!(progress.live_shards(), [Shard(0), Shard(1)]);
    }

    #[test]
    fn who_has_let_all_shards_go_begins_anew() {
        let mut progress = with_a_large_one();
        take(&mut progress, 1, "9:9:");
        progress.let_go(&[Shard(0)]);
        turn(&mut progress, Turn::CatchUp, page("5:12:5", &[]));
        assert_eq!(progress.live_shards(), [Shard(1)]);
        assert_eq!(late(&mut progress), [(5, 0, false)]);
    }

    #[test]
    fn shards_that_stay_go_on_with_what_is_left() {
        let mut progress = Progress::default();
        take(&mut progress, 0, "9:9:");
        turn(&mut progress, Turn::CatchUp, page("9:9:", &[]));
        take(&mut progress, 1, "9:9:");
        turn(&mut progress, Turn::CatchUp, page("9:9:", &[]));
        turn(&mut progress, Turn::CatchUp, page("5:10:5", &[]));
        turn(&mut progress, Turn::Live, page("5:10:5", &[]));
        for _ in 0..2 {
            let large = page("12:12:", &[(5, 1), (5, 2)]);
            turn(&mut progress, Turn::Live, large);
        }
        progress.let_go(&[Shard(0)]);
        assert_eq!(late(&mut progress), [(5, 2, true)]);
    }
}
