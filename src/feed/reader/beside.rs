//! What the reader has done beside the reading: what waits is counted, and subscriptions are gone
//! through, page by page. What came of it counts between two readings only, so that a page is
//! routed by settings whose time is known.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Doing, Errand, Question, Reader};
use crate::flow::input::Forgotten;
use crate::flow::refill::Waiting;
use crate::flow::subscriptions::{Loaded, Look, Place};
use crate::flow::{AWAY, Away, input};

/// A merchant without events for so long, or twice as long, may be forgotten.
const FORGET: Duration = Duration::from_secs(15);

/// Going through the shards pauses for so many times what a page took.
const SURVEY_PAUSES: u32 = 3;

/// How many subscriptions that cannot be used are told of although they get no events.
const UNUSABLE: usize = 1000;

/// A look that is under way.
#[derive(Debug)]
pub(super) struct Looking {
    look: Look,
    began: Instant,
    result: Option<Result<(Loaded, Vec<Place>), Away>>,
}

impl Looking {
    /// Takes what came of it.
    pub fn take(&mut self, result: Result<(Loaded, Vec<Place>), Away>) {
        self.result = Some(result);
    }
}

impl Reader {
    /// Begins the next look at subscriptions, if there is something to look at.
    pub(super) fn look_beside(&mut self, now: Instant) {
        if self.looking.is_some() || now < self.look_at {
            return;
        }
        if let Some(look) = self.merchants.next_look() {
            self.errands.push(Errand::Look(look.clone()));
            self.looking = Some(Looking {
                look,
                began: now,
                result: None,
            });
        }
    }

    /// Takes what was found beside the reading; true where something is asked about it.
    pub(super) fn take_found(&mut self, now: Instant) -> bool {
        self.take_looked(now);
        let waiting = self.waiting.take();
        if waiting.is_some_and(|waiting| self.open(waiting, input::Input::Waiting)) {
            return true;
        }
        let replays = self.replays.take();
        replays.is_some_and(|waiting| self.open(waiting, input::Input::Replays))
    }

    /// Tells of what waits, after the dispatcher has the subscriptions that it needs for that: true
    /// where these are asked for.
    fn open(&mut self, waiting: Vec<Waiting>, told: fn(Vec<Waiting>) -> input::Input) -> bool {
        let lacks = |it: &&Waiting| self.merchants.lacks_lane(it.shard, it.lane_id);
        let lanes: BTreeSet<Uuid> = waiting.iter().filter(lacks).map(|it| it.lane_id).collect();
        let found = told(waiting);
        if lanes.is_empty() {
            self.tell(found);
            return false;
        }
        let question = Question::OfLanes(lanes.into_iter().collect());
        self.ask(Doing::Opening(found), question);
        true
    }

    /// Has merchants forgotten that had no event for a while, if very many are known; true where the
    /// dispatcher is asked.
    pub(super) fn forget_idle(&mut self, now: Instant) -> bool {
        let anew = now >= self.forget_at;
        if anew {
            self.forget_at = now + FORGET;
        }
        let merchants = self.merchants.to_forget(self.settings.merchants, anew);
        if merchants.is_empty() {
            return false;
        }
        self.asked = true;
        self.doing = Some(Doing::Forgetting);
        self.errands.push(Errand::Forget(merchants));
        true
    }

    /// The dispatcher has forgotten these.
    pub(super) fn forgotten(&mut self, forgotten: &[Forgotten], now: Instant) {
        self.asked = false;
        self.doing = None;
        for merchant in forgotten {
            self.merchants.forgotten(merchant);
            for id in &merchant.subscriptions {
                self.look_ups.forget(*id);
            }
        }
        self.look(now);
    }

    fn take_looked(&mut self, now: Instant) {
        let Some(Looking {
            look,
            began,
            result: Some(result),
        }) = self.looking.take_if(|looking| looking.result.is_some())
        else {
            return;
        };
        match (look, result) {
            (look, Err(_)) => {
                self.merchants.look_failed(look);
                self.look_at = now + AWAY;
            }
            (Look::Merchants(_), Ok((loaded, _))) => {
                self.changed_at = self.changed_at.max(loaded.changed_at);
                let rows = self.merchants.looked(loaded.rows);
                let subscriptions = self.note(rows, now);
                self.tell(input::Input::Subscriptions(subscriptions));
            }
            (Look::Shards(_), Ok((loaded, places))) => {
                let room = UNUSABLE.saturating_sub(self.unusable.len());
                self.merchants.survey(&loaded.rows, room);
                self.merchants.go_on(places);
                let took: Duration = now.saturating_duration_since(began);
                self.look_at = now + took * SURVEY_PAUSES;
            }
        }
    }

    /// Tells how many subscriptions there are, where that has changed.
    pub(super) fn tell_count(&mut self) {
        let counted = self.merchants.subscriptions();
        if std::mem::replace(&mut self.counted, counted) != counted {
            self.tell(input::Input::Counted(counted));
        }
    }
}
