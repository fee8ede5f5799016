use super::*;

use crate::flow::AWAY;
use crate::flow::entry::{Attempt, Change, Entry, PageId};
use crate::flow::input::{Recorded, RecordedKind};
use crate::model::{DeliveryKey, Epoch, OutcomeClass, Shard, State};
use chrono::DateTime;
use uuid::Uuid;

const FLUSH_AFTER: Duration = Duration::from_millis(20);
const MILLI: Duration = Duration::from_millis(1);
const SUBSCRIPTION: Uuid = Uuid::from_u128(7);

/// A recorder whose errands are done by hand.
struct Bench {
    recorder: Recorder,
    backlog: Backlog,
    now: Instant,
    /// Of the write that was asked for last: its events, and whether it looks for its rows.
    written: Option<(Vec<u128>, bool)>,
    entries: Vec<Entry>,
    recorded: Vec<Vec<Recorded>>,
    refused: Vec<ToRecord>,
    counted: usize,
}

impl Bench {
    fn with_rows(flush_rows: usize) -> Self {
        let backlog = Backlog::default();
        let settings = RecorderSettings {
            flush_after: FLUSH_AFTER,
            flush_rows,
        };
        Self {
            recorder: Recorder::new(settings, backlog.clone()),
            backlog,
            now: Instant::now(),
            written: None,
            entries: Vec::new(),
            recorded: Vec::new(),
            refused: Vec::new(),
            counted: 0,
        }
    }

    fn take(&mut self, entries: impl IntoIterator<Item = ToRecord>) {
        for entry in entries {
            self.backlog.add(&entry.entry);
            self.recorder.take(entry);
        }
        self.step();
    }

    fn answer(&mut self, answer: Answer) {
        self.recorder.answered(answer, self.now);
        self.step();
    }

    fn succeed(&mut self) {
        self.answer(Answer::Written(Written::default()));
    }

    fn refuse(&mut self) {
        self.answer(Answer::Refused("of the rows".to_owned()));
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
        self.step();
    }

    fn step(&mut self) {
        while let Some(errand) = self.recorder.next_errand(self.now) {
            match errand {
                Errand::Write { entries, again } => {
                    assert!(self.written.is_none(), "two writes at a time");
                    let events = entries.iter().map(|entry| entry.key.event_id.as_u128());
                    self.written = Some((events.collect(), again));
                    self.entries = entries.to_vec();
                }
                Errand::Report(report) => match *report {
                    Input::Recorded(recorded) => self.recorded.push(recorded),
                    Input::Refused(refused) => self.refused.push(*refused),
                    input => panic!("{input:?}"),
                },
                Errand::CountRefusal => self.counted += 1,
            }
        }
    }

    /// The write that was asked for since the last look.
    fn write(&mut self) -> Option<(Vec<u128>, bool)> {
        self.written.take()
    }

    /// The events of a write that is the first try.
    fn first_try(&mut self) -> Vec<u128> {
        let (events, again) = self.write().expect("a write is asked for");
        assert!(!again, "a first try does not look");
        events
    }

    fn events_recorded(&self) -> Vec<Vec<u128>> {
        let events = |report: &Vec<Recorded>| {
            let events = report.iter().map(|entry| entry.key.event_id.as_u128());
            events.collect()
        };
        self.recorded.iter().map(events).collect()
    }
}

fn of(event: u128, change: Change, attempt: Option<Attempt>) -> ToRecord {
    ToRecord {
        entry: Entry {
            key: DeliveryKey::first(Uuid::from_u128(event), SUBSCRIPTION),
            lane_id: SUBSCRIPTION,
            shard: Shard(1),
            epoch: Epoch(1),
            transaction_id: "t".into(),
            change,
            attempt,
        },
        page: Some(PageId(u64::try_from(event).unwrap())),
    }
}

fn spilled(event: u128) -> ToRecord {
    of(event, Change::Spill, None)
}

fn delivered(event: u128) -> ToRecord {
    let change = Change::Finish {
        state: State::Delivered,
        attempts: 1,
        reason: None,
        had_row: false,
    };
    let attempt = Attempt {
        number: 1,
        started_at: DateTime::UNIX_EPOCH,
        duration: MILLI,
        outcome: OutcomeClass::Ok,
        http_status: Some(200),
        reason: "200 OK".to_owned(),
        body: Some("thanks".to_owned()),
        revision: 1,
        sent: None,
    };
    of(event, change, Some(attempt))
}

#[test]
fn a_batch_is_written_when_its_time_has_come() {
    let mut bench = Bench::with_rows(10);
    assert_eq!(bench.recorder.wake_at(), None);
    bench.take([delivered(1)]);
    assert_eq!(bench.recorder.wake_at(), Some(bench.now + FLUSH_AFTER));
    bench.wait(FLUSH_AFTER.saturating_sub(MILLI));
    bench.take([delivered(2)]);
    assert_eq!(bench.write(), None);
    bench.wait(MILLI);
    assert_eq!(bench.first_try(), [1, 2]);
    assert_eq!(bench.recorder.wake_at(), None);
    assert_eq!(bench.backlog.len(), 2);
    bench.succeed();
    assert_eq!(bench.events_recorded(), [[1, 2]]);
    assert!(bench.backlog.is_empty());
    assert!(bench.recorder.is_idle());
}

#[test]
fn a_batch_is_written_when_it_has_its_rows() {
    let mut bench = Bench::with_rows(2);
    assert_eq!(bench.recorder.room(), 2);
    bench.take([delivered(1)]);
    assert_eq!(bench.recorder.room(), 1);
    bench.take([delivered(2), delivered(3), delivered(4), delivered(5)]);
    assert_eq!(bench.first_try(), [1, 2]);
    assert_eq!(bench.recorder.room(), 0);
    bench.succeed();
    assert_eq!(bench.first_try(), [3, 4]);
    bench.wait(FLUSH_AFTER * 2);
    assert_eq!(bench.write(), None, "one write at a time");
    bench.succeed();
    // Its time begins when the write before has ended.
    assert_eq!(bench.write(), None);
    assert_eq!(bench.recorder.wake_at(), Some(bench.now + FLUSH_AFTER));
    bench.wait(FLUSH_AFTER);
    assert_eq!(bench.first_try(), [5]);
    bench.succeed();
    assert_eq!(bench.events_recorded(), [vec![1, 2], vec![3, 4], vec![5]]);
    assert!(bench.backlog.is_empty());
}

#[test]
fn a_delivery_stands_in_a_batch_once_only() {
    let mut bench = Bench::with_rows(10);
    bench.take([spilled(1), spilled(2), delivered(1), spilled(3)]);
    assert_eq!(bench.first_try(), [1, 2], "at once: what came does not fit");
    bench.succeed();
    bench.wait(FLUSH_AFTER);
    assert_eq!(bench.first_try(), [1, 3]);
    bench.succeed();
    assert_eq!(bench.events_recorded(), [[1, 2], [1, 3]]);
}

#[test]
fn who_takes_the_place_of_others_does_not_stand_beside_them() {
    let mut bench = Bench::with_rows(10);
    let except = Vec::new();
    let newer = of(2, Change::SupersedeOlder { except }, None);
    bench.take([spilled(1), newer]);
    assert_eq!(bench.first_try(), [1]);
    bench.succeed();
    bench.wait(FLUSH_AFTER);
    assert_eq!(bench.first_try(), [2]);
}

#[test]
fn a_refused_batch_is_written_in_halves() {
    let mut bench = Bench::with_rows(5);
    bench.take((1..=5).map(delivered));
    assert_eq!(bench.first_try(), [1, 2, 3, 4, 5]);
    bench.refuse();
    assert_eq!(bench.first_try(), [1, 2]);
    bench.succeed();
    assert!(bench.recorded.is_empty(), "one report for the batch");
    assert_eq!(bench.backlog.len(), 5);
    assert_eq!(bench.first_try(), [3, 4, 5]);
    bench.refuse();
    assert_eq!(bench.first_try(), [3]);
    bench.succeed();
    assert_eq!(bench.first_try(), [4, 5]);
    bench.succeed();
    assert_eq!(bench.events_recorded(), [[1, 2, 3, 4, 5]]);
    let pages = bench.recorded[0].iter().map(|entry| entry.page);
    assert!(pages.eq((1..=5).map(|page| Some(PageId(page)))));
    assert!(bench.backlog.is_empty());
    assert_eq!(bench.counted, 0, "no single entry was refused");
}

#[test]
fn of_a_refused_entry_is_written_what_the_database_takes() {
    let mut bench = Bench::with_rows(2);
    bench.take([delivered(1), delivered(2)]);
    bench.write();
    bench.refuse();
    bench.write();
    bench.refuse();
    assert_eq!(bench.counted, 1);
    assert_eq!(bench.first_try(), [1]);
    let attempt = bench.entries[0].attempt.as_ref().unwrap();
    assert_eq!(attempt.body, None);
    assert!(attempt.reason.contains("the database refuses"));
    bench.refuse();
    assert_eq!(bench.first_try(), [1]);
    assert!(bench.entries[0].attempt.is_none());
    bench.succeed();
    assert_eq!(bench.first_try(), [2], "and then the other half");
    bench.succeed();
    assert_eq!(bench.events_recorded(), [[1, 2]]);
    assert_eq!(bench.recorded[0][0].page, Some(PageId(1)));
    let kind = RecordedKind::Finished(State::Delivered);
    assert_eq!(bench.recorded[0][0].kind, kind);
    assert_eq!((bench.counted, bench.refused.len()), (1, 0));
}

#[test]
fn what_the_database_takes_nothing_of_goes_back() {
    let mut bench = Bench::with_rows(3);
    bench.take([spilled(1), delivered(2), spilled(3)]);
    bench.write();
    bench.refuse();
    assert_eq!(bench.first_try(), [1]);
    bench.refuse();
    // There is nothing less of what was not tried.
    assert_eq!(bench.refused.len(), 1);
    assert_eq!(bench.refused[0].page, Some(PageId(1)));
    assert!(matches!(bench.refused[0].entry.change, Change::Spill));
    assert_eq!(bench.first_try(), [2, 3]);
    bench.refuse();
    for _whole_without_text_without_attempt in 0..3 {
        assert_eq!(bench.first_try(), [2]);
        bench.refuse();
    }
    assert_eq!(bench.refused.len(), 2);
    assert!(bench.refused[1].entry.attempt.is_some(), "as it was");
    assert_eq!(bench.first_try(), [3]);
    bench.succeed();
    assert_eq!(bench.counted, 2);
    assert_eq!(bench.events_recorded(), [[3]]);
    assert!(bench.backlog.is_empty(), "nobody waits for them any more");
    assert_eq!(bench.backlog.attempts(), 0);
}

#[test]
fn while_the_database_is_away_a_batch_is_tried_again_and_looks() {
    let mut bench = Bench::with_rows(1);
    bench.take([delivered(1)]);
    assert_eq!(bench.first_try(), [1]);
    for _ in 0..3 {
        bench.answer(Answer::Away("no answer".to_owned()));
        assert_eq!(bench.write(), None);
        assert_eq!(bench.recorder.wake_at(), Some(bench.now + AWAY));
        assert!(!bench.recorder.is_idle());
        bench.wait(AWAY.saturating_sub(MILLI));
        assert_eq!(bench.write(), None);
        bench.wait(MILLI);
        assert_eq!(bench.write(), Some((vec![1], true)));
    }
    bench.take([delivered(2)]);
    bench.succeed();
    assert_eq!(bench.events_recorded(), [[1]]);
    assert_eq!(bench.first_try(), [2]);
}

#[test]
fn rows_that_are_there_are_left_out_at_the_next_try() {
    let mut bench = Bench::with_rows(2);
    bench.take([delivered(1), delivered(2)]);
    assert_eq!(bench.first_try(), [1, 2]);
    bench.answer(Answer::Repeated("they are there".to_owned()));
    assert_eq!(bench.write(), Some((vec![1, 2], true)), "at once");
    bench.succeed();
    assert_eq!(bench.events_recorded(), [[1, 2]]);
}

#[test]
fn a_repetition_that_stays_is_a_refusal() {
    let mut bench = Bench::with_rows(2);
    bench.take([delivered(1), delivered(2)]);
    bench.write();
    for _ in 0..3 {
        bench.answer(Answer::Repeated("they are there".to_owned()));
        assert_eq!(bench.write(), Some((vec![1, 2], true)));
    }
    bench.answer(Answer::Repeated("they are there".to_owned()));
    assert_eq!(
        bench.first_try(),
        [1],
        "the first half, as a batch of its own"
    );
}
