use std::collections::HashSet;

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
        Ask::Snapshot | Ask::ById { .. } => panic!("live shards are read by windows"),
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
    progress.forget(&[Shard(0)]);
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
    progress.forget(&[Shard(0)]);
    assert_eq!(late(&mut progress), [(5, 2, true)]);
}
