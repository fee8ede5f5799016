//! A batch on its way into the database: what is refused of it goes in smaller parts, and of a
//! single entry that is refused as much as the database takes.

use std::collections::VecDeque;
use std::time::Instant;
use std::vec;

use tracing::{error, warn};
use uuid::Uuid;

use super::acknowledge::acknowledge;
use super::lesser::lesser;
use super::{Answer, Errand, Part};
use crate::flow::AWAY;
use crate::flow::entry::{Entry, ToRecord};
use crate::flow::input::{Input, Recorded};

/// How often a batch is written again because rows of it are there: an earlier try of it that
/// was under way shows at the first, so what still stands there is another one's.
const REPETITIONS: u32 = 3;

/// A batch that is being written, one part after another.
#[derive(Debug)]
pub(super) struct Writing {
    pub entries: usize,
    /// Of them, those that tell of an attempt.
    pub attempts: usize,
    /// What the dispatcher will be told of it.
    pub recorded: Vec<Recorded>,
    current: Option<Tries>,
    /// Parts that come after it; the last is the next.
    rest: Vec<Part>,
    refused: Option<Refused>,
}

/// The tries to write one part, until the database has answered.
#[derive(Debug)]
struct Tries {
    part: Part,
    /// When the next one is due; none while one is under way.
    due: Option<Instant>,
    /// Whether an earlier one may have been committed.
    again: bool,
    repetitions: u32,
    /// Whether it was said that the database is away.
    said: bool,
}

/// An entry that is refused by itself, and what is still to be tried in its place.
#[derive(Debug)]
struct Refused {
    whole: ToRecord,
    lesser: vec::IntoIter<Entry>,
}

impl Tries {
    fn new(part: Part, now: Instant) -> Self {
        Self {
            part,
            due: Some(now),
            again: false,
            repetitions: 0,
            said: false,
        }
    }

    /// It may have been committed all the same, so the next try looks for what is there.
    const fn try_again(&mut self, at: Instant) {
        self.again = true;
        self.due = Some(at);
    }
}

impl Writing {
    pub fn new(batch: Part, now: Instant) -> Self {
        let attempts = batch.iter().filter(|entry| entry.attempt.is_some());
        Self {
            entries: batch.len(),
            attempts: attempts.count(),
            recorded: Vec::with_capacity(batch.len()),
            current: Some(Tries::new(batch, now)),
            rest: Vec::new(),
            refused: None,
        }
    }

    /// Whether all of it is written or given back.
    pub const fn is_over(&self) -> bool {
        self.current.is_none()
    }

    /// When its next write is due, if none is under way.
    pub fn due(&self) -> Option<Instant> {
        self.current.as_ref()?.due
    }

    /// The write that is due now.
    pub fn next_write(&mut self, now: Instant) -> Option<Errand> {
        let current = self.current.as_mut()?;
        current.due.take_if(|due| *due <= now)?;
        Some(Errand::Write {
            entries: current.part.clone(),
            again: current.again,
        })
    }

    /// What came of the write that was under way. However long the database is away, it is
    /// tried: an entry that is dropped would be a delivery made again.
    pub fn answered(&mut self, answer: Answer, now: Instant, errands: &mut VecDeque<Errand>) {
        let Some(current) = &mut self.current else {
            return;
        };
        match answer {
            Answer::Written(written) => {
                let recorded = acknowledge(&current.part, &written, now);
                self.recorded.extend(recorded);
                self.refused = None;
                self.turn_to_next(now);
            }
            Answer::Repeated(_) if current.repetitions < REPETITIONS => {
                current.repetitions += 1;
                current.try_again(now);
            }
            Answer::Away(error) => {
                if !current.said {
                    let entries = current.part.len();
                    warn!(%error, entries, "cannot record; trying until the database is back");
                    current.said = true;
                }
                current.try_again(now + AWAY);
            }
            Answer::Repeated(error) | Answer::Refused(error) => {
                let part = current.part.clone();
                self.is_refused(&part, &error, now, errands);
            }
        }
    }

    fn turn_to_next(&mut self, now: Instant) {
        let next = self.rest.pop();
        self.current = next.map(|part| Tries::new(part, now));
    }

    /// Halves are written, until the entry that is refused is alone. Then of it as much as the
    /// database takes: it must not stop the lane. If it takes nothing, the dispatcher is told.
    fn is_refused(
        &mut self,
        part: &Part,
        error: &str,
        now: Instant,
        errands: &mut VecDeque<Errand>,
    ) {
        let alone = || part.alone().map(|entry| refuse(entry, error, errands));
        let Some(mut refused) = self.refused.take().or_else(alone) else {
            let entries = part.len();
            warn!(%error, entries, "a batch was refused; writing it in halves");
            let [first, second] = part.halves();
            self.rest.extend([second, first]);
            self.turn_to_next(now);
            return;
        };
        if let Some(entry) = refused.lesser.next() {
            let page = refused.whole.page;
            let less = Part::from(ToRecord { entry, page });
            self.current = Some(Tries::new(less, now));
            self.refused = Some(refused);
        } else {
            let (event, subscription) = names(&refused.whole.entry);
            error!(%event, %subscription, "nor anything less of it; nothing is recorded");
            errands.push_back(Errand::Report(Box::new(Input::Refused(Box::new(
                refused.whole,
            )))));
            self.turn_to_next(now);
        }
    }
}

fn refuse(whole: ToRecord, error: &str, errands: &mut VecDeque<Errand>) -> Refused {
    let (event, subscription) = names(&whole.entry);
    error!(%event, %subscription, %error, "the database refuses to record this delivery as it is");
    errands.push_back(Errand::CountRefusal);
    let lesser = lesser(&whole.entry).into_iter();
    Refused { whole, lesser }
}

const fn names(entry: &Entry) -> (Uuid, Uuid) {
    (entry.key.event_id, entry.key.subscription_id)
}
