use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::model::State;

const KEY: DeliveryKey = DeliveryKey {
    event_id: Uuid::nil(),
    subscription_id: Uuid::nil(),
    generation: 0,
};

const fn rows(deliveries: usize, replays: usize) -> Rows {
    Rows {
        deliveries,
        replays,
    }
}

fn found(rows: u64, due: Instant) -> Shelf {
    let mut shelf = Shelf::default();
    shelf.found(rows, due);
    shelf
}

#[test]
fn a_full_refill_is_followed_by_another_and_a_short_one_by_the_next_retry() {
    let now = Instant::now();
    let mut shelf = found(5, now);
    let _ = shelf.begin_refill(rows(3, 0), false);
    assert_eq!(shelf.next_due(), None, "one at a time");
    shelf.end_refill(rows(3, 0), rows(3, 0), Due::default(), now);
    assert_eq!(
        (shelf.next_due(), shelf.is_behind(), shelf.rows()),
        (Some(now), true, 2)
    );
    let later = now + Duration::from_mins(30);
    let _ = shelf.begin_refill(rows(3, 0), false);
    let next = Due {
        deliveries: Some(later),
        replays: None,
    };
    shelf.end_refill(rows(1, 0), rows(1, 0), next, now);
    assert_eq!(
        (shelf.next_due(), shelf.is_behind(), shelf.rows()),
        (Some(later), false, 1)
    );
}

#[test]
fn a_row_changed_during_a_refill_is_passed_over_until_the_refill_ends() {
    let now = Instant::now();
    let mut shelf = found(1, now);
    shelf.row_changes(KEY);
    assert_eq!(
        shelf.begin_refill(rows(1, 0), false).collect::<Vec<_>>(),
        [KEY]
    );
    shelf.recorded(KEY, RecordedKind::Finished(State::Delivered));
    assert!(shelf.is_changing(KEY), "the refill may have read it before");
    shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
    assert!(!shelf.is_changing(KEY));
}

#[test]
fn a_row_made_after_its_delivery_has_landed_is_passed_over_until_it_is_removed() {
    let now = Instant::now();
    let mut shelf = found(1, now);
    shelf.handed_to_recorder();
    shelf.handed_to_recorder();
    shelf.row_changes(KEY);
    shelf.recorded(KEY, RecordedKind::Spilled);
    assert_eq!(
        shelf.begin_refill(rows(1, 0), false).collect::<Vec<_>>(),
        [KEY]
    );
    shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
    shelf.recorded(KEY, RecordedKind::Finished(State::Delivered));
    assert!(!shelf.is_changing(KEY));
}

#[test]
fn what_is_shelved_during_a_refill_keeps_the_lane_behind() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    let _ = shelf.begin_refill(rows(9, 0), false);
    shelf.shelve(KEY);
    shelf.due_at(now);
    shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
    assert!(shelf.is_behind());
    assert_eq!(shelf.next_due(), Some(now));
}

#[test]
fn rows_that_others_removed_are_forgotten() {
    let now = Instant::now();
    let mut shelf = found(7, now);
    let _ = shelf.begin_refill(rows(9, 0), false);
    shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
    assert_eq!((shelf.rows(), shelf.is_behind()), (0, false));
}

#[test]
fn rows_that_may_be_on_their_way_are_looked_for_again() {
    let now = Instant::now();
    let mut shelf = found(7, now);
    shelf.handed_to_recorder();
    let _ = shelf.begin_refill(rows(9, 0), false);
    shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
    assert_eq!(
        (shelf.rows(), shelf.next_due()),
        (7, Some(now + LOOK_AGAIN))
    );
    shelf.recorded(KEY, RecordedKind::Finished(State::Cancelled));
    let _ = shelf.begin_refill(rows(9, 0), false);
    shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
    assert_eq!((shelf.rows(), shelf.next_due()), (0, None));
}

#[test]
fn replays_that_find_no_room_keep_their_time_and_hold_nobody_up() {
    let now = Instant::now();
    let mut shelf = Shelf::default();
    shelf.found_replays(5, now);
    let _ = shelf.begin_refill(rows(3, 0), false);
    shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
    assert_eq!(shelf.next_replay(), Some(now));
    let _ = shelf.begin_refill(rows(3, 2), false);
    shelf.end_refill(rows(0, 2), rows(0, 2), Due::default(), now);
    assert_eq!((shelf.next_replay(), shelf.all_rows()), (Some(now), 3));
    assert_eq!((shelf.rows(), shelf.is_behind()), (0, false));
    let _ = shelf.begin_refill(rows(3, 2), false);
    shelf.end_refill(rows(0, 0), rows(0, 0), Due::default(), now);
    assert_eq!((shelf.next_replay(), shelf.all_rows()), (None, 0));
}
