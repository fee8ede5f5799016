//! Reads the log: live windows for the shards at hand, and catching up for those just taken. A
//! state machine without I/O: [`Reader::step`] takes an input and a time, and
//! [`Reader::take_errands`] says what others are to do. What to read next is decided in
//! [`super::progress`].
//!
//! A *reading* is one page, or two while some catch up, with all that has to be known of them.
//! One thing is asked for at a time, and orders are obeyed between two readings.

mod adopting;
mod answers;
mod beside;
mod handing;
mod words;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use self::adopting::Adopting;
use self::beside::Looking;
use self::handing::Handing;
pub use self::words::{Answer, Errand, Input, OfEvents, Question};
use super::look_up::LookUps;
use super::merchants::Merchants;
use super::poll::Poll;
use super::progress::{Ask, Progress, Turn};
use super::unusable::Unusable;
use crate::flow::refill::Waiting;
use crate::flow::shards::ShardOrder;
use crate::flow::window::WindowPage;
use crate::flow::{AWAY, Away, DbClock, input};
use crate::model::{Shard, Snapshot};

/// How often the lanes are told what waits in the database, in case hand-run SQL has made
/// something due, and unusable subscriptions are tried again.
const RECOUNT: Duration = Duration::from_secs(15);

/// How a worker reads the log.
#[derive(Clone, Copy, Debug)]
pub struct ReaderSettings {
    /// The pace of reading while events come.
    pub poll_min: Duration,
    /// The pace of reading in a database that has been quiet for a while.
    pub poll_max: Duration,
    /// How many events a page has at most.
    pub page_rows: u32,
    /// How many merchants stay known although they have no events.
    pub merchants: usize,
}

/// The state machine that reads the log for a worker.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is true or not whatever the others are"
)]
pub struct Reader {
    settings: ReaderSettings,
    clock: DbClock,
    poll: Poll,
    /// The newest configuration that the dispatcher knows.
    revision: Option<i64>,
    /// When it was changed last, of what was read of it: an event from before may have met other
    /// settings.
    changed_at: Option<DateTime<Utc>>,
    progress: Progress,
    recount_at: Instant,
    is_counting: bool,
    merchants: Merchants,
    /// How many subscriptions the dispatcher was told that there are.
    counted: usize,
    /// What is read of subscriptions beside the events.
    looking: Option<Looking>,
    /// When to look at more of them.
    look_at: Instant,
    /// When another while begins after which the idle are forgotten.
    forget_at: Instant,
    /// What waits, and all replays that do, as they were last counted: to be told between two
    /// readings.
    waiting: Option<Vec<Waiting>>,
    replays: Option<Vec<Waiting>>,
    /// Subscriptions that cannot be used.
    unusable: Unusable,
    look_ups: LookUps,
    /// Whether the last statement failed: said once.
    away: bool,
    /// Whether the lanes have room for another page.
    has_room: bool,
    /// Orders that have yet to be obeyed.
    orders: VecDeque<ShardOrder>,
    /// What it is at; nothing between two readings.
    doing: Option<Doing>,
    /// Whether an answer is awaited.
    asked: bool,
    /// When to go on, unless an answer is awaited.
    at: Instant,
    reading: Reading,
    errands: Vec<Errand>,
}

/// The reading that is under way.
#[derive(Debug)]
struct Reading {
    began: Instant,
    /// Whether it has found something.
    found: bool,
    /// What it has yet to read.
    turns: &'static [Turn],
}

/// What the reader is at, and what it needs the answer for.
#[derive(Debug)]
enum Doing {
    /// Shards were taken: what must the dispatcher know of them?
    Adopting(Adopting),
    /// Can subscriptions that were of no use be used by now?
    Retrying,
    /// Has anything happened since this was read?
    Looking(Snapshot),
    /// What is in this part of the log?
    Reading(Turn),
    /// Which merchants are of no account to the dispatcher?
    Forgetting,
    /// What waits for lanes that the dispatcher cannot open yet?
    Opening(input::Input),
    /// Which merchants have newer settings than those at hand, as the page has met?
    CatchingUp(Turn, WindowPage),
    /// What are the settings of these?
    Refreshing(Turn, WindowPage, Vec<(String, Shard)>),
    /// What must the dispatcher know of the page's events, and is it in the lanes?
    Handing(Handing),
}

impl Reader {
    /// A reader that has no shards yet.
    #[must_use]
    pub fn new(settings: ReaderSettings, clock: DbClock, now: Instant) -> Self {
        Self {
            settings,
            clock,
            poll: Poll::new(settings.poll_min, settings.poll_max, now),
            revision: None,
            changed_at: None,
            progress: Progress::default(),
            recount_at: now + RECOUNT,
            is_counting: false,
            merchants: Merchants::default(),
            counted: 0,
            looking: None,
            look_at: now,
            forget_at: now + RECOUNT,
            waiting: None,
            replays: None,
            unusable: Unusable::default(),
            look_ups: LookUps::default(),
            away: false,
            has_room: true,
            orders: VecDeque::new(),
            doing: None,
            asked: false,
            at: now,
            reading: Reading {
                began: now,
                found: false,
                turns: &[],
            },
            errands: Vec::new(),
        }
    }

    /// Takes what has happened, if anything has, and goes on as far as it can.
    pub fn step(&mut self, input: Option<Input>, now: Instant) {
        match input {
            None => {}
            Some(Input::Order(order)) => self.orders.push_back(order),
            Some(Input::Counted(waiting)) => {
                self.is_counting = false;
                self.waiting = waiting.or(self.waiting.take());
            }
            Some(Input::Forgotten(forgotten)) => self.forgotten(&forgotten, now),
            Some(Input::Replays(waiting)) => self.replays = Some(waiting),
            Some(Input::Looked(result)) => {
                if let Some(looking) = &mut self.looking {
                    looking.take(result);
                }
            }
            Some(Input::Answered(Ok(answer))) => self.answered(answer, now),
            Some(Input::Answered(Err(error))) => self.failed(&error, now),
            Some(Input::Routed) => self.routed(now),
        }
        while !self.asked {
            match self.doing.take() {
                Some(Doing::Handing(handing)) if now >= self.at => self.hand_on(handing, now),
                Some(doing) => {
                    self.doing = Some(doing);
                    return;
                }
                None => {
                    self.obey_all(now);
                    if self.take_found(now) {
                        return;
                    }
                    if !self.may_read() || now < self.at {
                        return;
                    }
                    self.begin(now);
                }
            }
        }
    }

    /// Says whether the lanes have room for another page; to be said before a step.
    pub const fn set_room(&mut self, has_room: bool) {
        self.has_room = has_room;
    }

    /// What others are to do now, in this order.
    #[must_use]
    pub fn take_errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    /// When to step at the latest; none: when something has happened.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        let goes_on = self.doing.is_some() || self.may_read();
        (!self.asked && goes_on).then_some(self.at)
    }

    /// Whether the database did not answer when it was last asked.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        self.away
    }

    fn may_read(&self) -> bool {
        self.has_room && !self.progress.has_nothing_to_read()
    }

    /// An order ends the pause: there is something else to read.
    fn obey_all(&mut self, now: Instant) {
        while let Some(order) = self.orders.pop_front() {
            self.at = now;
            match order {
                ShardOrder::Adopt { taken, cluster } => self.progress.take_up(taken, cluster),
                ShardOrder::Leave(shards) => {
                    let left: Vec<Shard> = shards.iter().map(|(shard, _)| *shard).collect();
                    self.forget(&left);
                    self.tell(input::Input::Drain(shards));
                }
                ShardOrder::Lose(shards) => {
                    self.forget(&shards);
                    // The keeper has told it already, but it may have learnt of them since: while
                    // the reader waited for what an adoption loads.
                    self.tell(input::Input::Lost(shards));
                }
            }
        }
    }

    fn forget(&mut self, shards: &[Shard]) {
        self.progress.forget(shards);
        self.merchants.forget(shards);
        self.tell_count();
        self.unusable.forget(shards);
    }

    fn begin(&mut self, now: Instant) {
        self.reading = Reading {
            began: now,
            found: false,
            turns: &[],
        };
        if let Some((taken, cluster)) = self.progress.to_adopt().cloned() {
            return self.adopt(Adopting::of(taken, &cluster), now);
        }
        self.look_beside(now);
        if self.forget_idle(now) {
            return;
        }
        if now >= self.recount_at && !self.is_counting && !self.progress.live_shards().is_empty() {
            self.recount_at = now + RECOUNT;
            self.is_counting = true;
            // Beside the reading: with a million rows it takes a moment.
            let shards = self.progress.live_shards().to_vec();
            self.errands.push(Errand::Count(shards));
            let rows = self.unusable.rows();
            if !rows.is_empty() {
                return self.ask(Doing::Retrying, Question::Retry(rows));
            }
        }
        self.look(now);
    }

    /// Where everything has been read it is asked first whether any transaction has begun or
    /// ended since, as that costs a tenth of a page.
    fn look(&mut self, now: Instant) {
        match self.progress.read_up_to().cloned() {
            Some(read) => self.ask(Doing::Looking(read), Question::Read(Ask::Snapshot)),
            None => self.take_turns(now),
        }
    }

    fn take_turns(&mut self, now: Instant) {
        self.reading.turns = self.progress.turns();
        self.next_turn(now);
    }

    /// Reads for whose turn it is; the reading ends after the last one.
    fn next_turn(&mut self, now: Instant) {
        match self.reading.turns.split_first() {
            Some((turn, rest)) => {
                self.reading.turns = rest;
                self.read(*turn, now);
            }
            None => self.finish(now),
        }
    }

    fn read(&mut self, turn: Turn, now: Instant) {
        match self.progress.ask(turn, self.limit()) {
            Some(ask) => self.ask(Doing::Reading(turn), Question::Read(ask)),
            None => self.next_turn(now),
        }
    }

    fn limit(&self) -> i64 {
        i64::from(self.settings.page_rows)
    }

    fn ask(&mut self, doing: Doing, question: Question) {
        debug_assert!(!self.asked, "one question at a time");
        self.asked = true;
        self.doing = Some(doing);
        self.errands.push(Errand::Ask(question));
    }

    /// The end of a reading: how long to wait before the next.
    fn finish(&mut self, now: Instant) {
        if self.away {
            info!("the database is back");
        }
        self.away = false;
        self.tell_count();
        let Reading { began, found, .. } = self.reading;
        self.at = if self.progress.is_behind() {
            now
        } else {
            now + self.poll.pause(found, began, now)
        };
    }

    /// What was asked is asked again later: of a page that is on its way the same, and else
    /// whatever is to be done then.
    fn failed(&mut self, error: &Away, now: Instant) {
        debug_assert!(self.asked, "an answer to what was not asked");
        self.asked = false;
        if !self.away {
            warn!(%error, "cannot read events; trying until the database is back");
        }
        self.away = true;
        self.at = now + AWAY;
        self.doing = self
            .doing
            .take()
            .filter(|doing| matches!(doing, Doing::Handing(_)));
    }

    fn tell(&mut self, input: input::Input) {
        self.errands.push(Errand::Tell(input));
    }
}
