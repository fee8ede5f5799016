//! Recording: does the recorder's errands with a worker's own database.

use std::pin::pin;
use std::time::Instant;

use futures::FutureExt;
use futures::future::{Fuse, OptionFuture};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::sleep_until;
use tracing::warn;
use uuid::Uuid;

use crate::crash::Point;
use crate::flow::STATEMENT;
use crate::flow::entry::{ToRecord, Written};
use crate::flow::input::Input;
use crate::http::metrics::Metrics;
use crate::record::{Answer, Errand, Part, Recorder};
use crate::store::ledger::write_batch;
use crate::store::{Pool, StoreError, within};

/// What the recorder's errands are done with.
pub struct Recording {
    pub pool: Pool,
    pub owner: Uuid,
    pub metrics: Metrics,
    pub dispatcher: UnboundedSender<Input>,
}

impl Recording {
    /// Records until the dispatcher is gone and everything it handed over is written. The
    /// channel is bounded by the dispatcher, which sends nothing new while too much is
    /// unrecorded.
    pub async fn run(self, mut recorder: Recorder, mut entries: UnboundedReceiver<ToRecord>) {
        let mut write = pin!(Fuse::terminated());
        let mut taken = Vec::new();
        let mut more_may_come = true;
        loop {
            while let Some(errand) = recorder.next_errand(Instant::now()) {
                match errand {
                    Errand::Write { entries, again } => {
                        write.set(self.write(entries, again).fuse());
                    }
                    Errand::Report(input) => {
                        // The dispatcher is gone only when the worker ends.
                        let _ = self.dispatcher.send(*input);
                    }
                    Errand::CountRefusal => self.metrics.entry_refused(),
                }
            }
            if !more_may_come && recorder.is_idle() {
                return;
            }
            let room = recorder.room();
            let wake = recorder.wake_at().map(|at| sleep_until(at.into()));
            tokio::select! {
                biased;
                answer = &mut write => recorder.answered(answer, Instant::now()),
                count = entries.recv_many(&mut taken, room), if more_may_come && room > 0 => {
                    more_may_come = count > 0;
                    taken.drain(..).for_each(|entry| recorder.take(entry));
                }
                Some(()) = OptionFuture::from(wake) => {}
            }
        }
    }

    async fn write(&self, entries: Part, again: bool) -> Answer {
        let started = Instant::now();
        Point::BeforeCommit.pass();
        let write = write_batch(&self.pool, self.owner, &entries, again);
        match within(STATEMENT, write).await {
            Ok(written) => {
                Point::AfterCommit.pass();
                let count = entries.len() as u64;
                self.metrics.batch_written(count, started.elapsed());
                self.look_at_conflicts(&written);
                Answer::Written(written)
            }
            Err(error) => self.unwritten(&error),
        }
    }

    fn look_at_conflicts(&self, written: &Written) {
        let rows = written.conflicts;
        if rows > 0 {
            self.metrics.ledger_conflicts(rows);
            warn!(
                rows,
                "deliveries that had ended ended again; the first ending stays"
            );
        }
    }

    fn unwritten(&self, error: &StoreError) -> Answer {
        let why = error.to_string();
        if error.is_of_the_rows() {
            Answer::Refused(why)
        } else if error.is_repetition() {
            Answer::Repeated(why)
        } else {
            self.metrics.database_error();
            Answer::Away(why)
        }
    }
}
