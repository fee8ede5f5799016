//! How far the log has been read, for which shards, and what to read next. A state machine
//! without I/O.
//!
//! The live shards are read to the same snapshot, as their events are committed. Shards
//! that were just taken catch up from their last owner's checkpoint, and join the live ones
//! where both have been read to the same snapshot.

mod start;

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use tracing::info;
use uuid::Uuid;

pub use self::start::Start;
use self::start::{Reading, by_start};
use super::floor::Floor;
use super::window::{Left, Turned, Window};
use crate::flow::shards::Taken;
use crate::flow::window::{PageRequest, WindowPage};
use crate::model::{Event, Shard, Snapshot};

/// How far the log has been read, for which shards.
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

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Shards that were just taken.
    CatchUp,
    /// The shards whose events are read as they are committed.
    Live,
}

/// What to read.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A page of a window; no row below `floor` can be of it.
    Page {
        /// Which part of the window.
        request: PageRequest,
        /// Whose events.
        shards: Vec<Shard>,
        /// The least id that can be of the page.
        floor: Uuid,
    },
    /// The snapshot of this moment.
    Snapshot,
    /// Events by id, up to a snapshot.
    ById {
        /// The last id that was read.
        after: Uuid,
        /// The snapshot up to which events count.
        until: Snapshot,
        /// Whose events.
        shards: Vec<Shard>,
        /// How many at most.
        limit: i64,
    },
}

/// What was read.
#[derive(Debug)]
pub enum Answer {
    /// A page of a window.
    Page(WindowPage),
    /// A snapshot.
    Snapshot(Snapshot),
    /// Events by id.
    ById {
        /// The snapshot up to which they were read.
        until: Snapshot,
        /// The events, in the order of their ids.
        events: Vec<Event>,
    },
}

/// What to do with it.
#[derive(Debug)]
pub struct Found {
    /// The events to route, in the order of their ids.
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
    pub fn forget(&mut self, shards: &[Shard]) {
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

    /// Whether there is something to read at once.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.live.is_whole() || !self.catch_ups.is_empty() || !self.to_adopt.is_empty()
    }

    /// Up to where everything has been read; none while something is left.
    #[must_use]
    pub fn read_up_to(&self) -> Option<&Snapshot> {
        self.live.at.as_ref().filter(|_| !self.is_behind())
    }

    /// Whether no shard is there to read for.
    #[must_use]
    pub fn has_nothing_to_read(&self) -> bool {
        self.live.shards.is_empty() && !self.is_behind()
    }

    /// The shards that have caught up.
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
                    Reading::Comparing { until: None, .. } => return Some(Ask::Snapshot),
                    Reading::Comparing {
                        after,
                        until: Some(until),
                        ..
                    } => {
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

#[cfg(test)]
mod tests;
