//! Record: gathers what became of deliveries and has it written in batches, each in one fenced
//! transaction. A state machine without I/O: entries and answers go in, with a time, and
//! errands come out.

mod acknowledge;
mod batch;
mod lesser;
mod writing;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::batch::{Batch, Part};
use self::writing::Writing;
use crate::flow::entry::{Backlog, ToRecord, Written};
use crate::flow::input::Input;

/// How a worker gathers what it records.
#[derive(Clone, Copy, Debug)]
pub struct RecorderSettings {
    /// The age of its first entry at which a batch is written, if it is not full before.
    pub flush_after: Duration,
    /// The number of entries at which a batch is full, and written.
    pub flush_rows: usize,
}

/// What the recorder has others do.
#[derive(Debug)]
pub enum Errand {
    /// Write these entries; to be answered by an [`Answer`], and never two at a time.
    Write {
        /// What is to be written.
        entries: Part,
        /// Whether an earlier try may have been committed.
        again: bool,
    },
    /// Tell the dispatcher.
    Report(Box<Input>),
    /// Count an entry that the database refused to record as it was.
    CountRefusal,
}

/// What came of a write. The texts say why, for the log.
#[derive(Debug)]
pub enum Answer {
    /// It is written, but for shards that are lost.
    Written(Written),
    /// Rows of these keys are there already: nothing was written.
    Repeated(String),
    /// The rows are at fault: nothing was written.
    Refused(String),
    /// There was no answer, or none about the rows. It may have been written all the same.
    Away(String),
}

/// Gathers entries into batches, and sees each batch through: one write at a time, one report
/// for each batch when all of it is written.
#[derive(Debug)]
pub struct Recorder {
    settings: RecorderSettings,
    backlog: Backlog,
    /// What came and is in no batch yet.
    waiting: VecDeque<ToRecord>,
    /// The entries that are gathered for the next write.
    batch: Batch,
    /// Until when entries are gathered; none while there is none.
    until: Option<Instant>,
    writing: Option<Writing>,
    errands: VecDeque<Errand>,
}

impl Recorder {
    /// A recorder that has nothing to write yet.
    #[must_use]
    pub fn new(settings: RecorderSettings, backlog: Backlog) -> Self {
        Self {
            settings,
            backlog,
            waiting: VecDeque::new(),
            batch: Batch::default(),
            until: None,
            writing: None,
            errands: VecDeque::new(),
        }
    }

    /// How many entries more can be of use now: none while a batch is written. Whoever has
    /// them may keep them until then.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.writing.is_some() {
            return 0;
        }
        let rows = self.settings.flush_rows.saturating_sub(self.batch.len());
        rows.max(1)
    }

    /// An entry is to be recorded.
    pub fn take(&mut self, entry: ToRecord) {
        self.waiting.push_back(entry);
    }

    /// What came of the write that was under way.
    pub fn answered(&mut self, answer: Answer, now: Instant) {
        if let Some(writing) = &mut self.writing {
            writing.answered(answer, now, &mut self.errands);
        }
        if let Some(written) = self.writing.take_if(|writing| writing.is_over()) {
            self.backlog.take(written.entries, written.attempts);
            let report = Input::Recorded(written.recorded);
            self.errands.push_back(Errand::Report(Box::new(report)));
        }
    }

    /// What is to be done now; to be asked after each input, and when the time of
    /// [`Self::wake_at`] has come, until there is none.
    pub fn next_errand(&mut self, now: Instant) -> Option<Errand> {
        let told = self.errands.pop_front();
        if told.is_some() {
            return told;
        }
        if self.writing.is_none() {
            let batch = self.gather(now)?;
            self.writing = Some(Writing::new(batch, now));
        }
        self.writing.as_mut()?.next_write(now)
    }

    /// When something is to be done, if no input comes before.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        match &self.writing {
            Some(writing) => writing.due(),
            None => self.until,
        }
    }

    /// Whether all that came is written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.batch.is_empty() && self.writing.is_none()
    }

    /// The next batch, once it is complete. Its time begins with its first entry, and not
    /// before the batch before it has been written.
    fn gather(&mut self, now: Instant) -> Option<Part> {
        while let Some(next) = self.waiting.pop_front() {
            self.until.get_or_insert(now + self.settings.flush_after);
            let does_not_fit = self.batch.add(next);
            let is_complete =
                does_not_fit.is_some() || self.batch.len() >= self.settings.flush_rows;
            if let Some(next) = does_not_fit {
                self.waiting.push_front(next);
            }
            if is_complete {
                return Some(self.complete());
            }
        }
        let is_due = self.until.is_some_and(|until| until <= now);
        is_due.then(|| self.complete())
    }

    fn complete(&mut self) -> Part {
        self.until = None;
        Part::from(std::mem::take(&mut self.batch))
    }
}

#[cfg(test)]
mod tests;
