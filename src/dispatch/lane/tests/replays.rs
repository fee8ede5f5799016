//! Replays go behind everything else.

use super::*;

#[test]
fn replays_take_half_of_the_places_and_go_behind_everything_else() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 4, now);
    lane.shelf.found_replays(9, now);
    let (room, _) = lane.begin_refill(0.0, now).unwrap();
    assert!(room.replays >= 2);
    let found = (0..3).map(|number| replayed(number, "old", now));
    lane.refilled(found.collect(), Due::default(), now);
    assert_eq!(
        offer(&mut lane, 10..12, now),
        0,
        "nothing waits behind a replay"
    );
    assert_eq!(send_all(&mut lane, now), [10, 11, 0, 1]);
    assert_eq!(lane.queued().0, 1);
    lane.landed(item(10, "10", now).key, None, now);
    assert_eq!(send_all(&mut lane, now), [], "half of four are replays");
    assert_eq!(offer(&mut lane, 12..13, now), 0);
    assert_eq!(send_all(&mut lane, now), [12]);
    lane.landed(replayed(0, "old", now).key, None, now);
    assert_eq!(send_all(&mut lane, now), [2]);
}

#[test]
fn replays_are_not_asked_for_while_other_rows_find_no_room() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 2, now);
    lane.shelf.found_replays(5, now);
    lane.shelf.found(500, now);
    let (room, _) = lane.begin_refill(0.0, now).unwrap();
    let many =
        (0..room.deliveries as u128).map(|number| refilled(number, &number.to_string(), now));
    lane.refilled(many.collect(), Due::default(), now);
    assert!(lane.shelf.is_behind());
    assert_eq!(lane.replay_room(0.0, now), 0);
}

#[test]
fn a_replay_neither_supersedes_nor_is_superseded() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 1, now);
    let found = [5, 1, 9].map(|number| replayed(number, "a", now));
    lane.refilled(found.to_vec(), Due::default(), now);
    assert_eq!(send_all(&mut lane, now), [5]);
    let result = lane.supersede(&item(3, "a", now).series());
    assert!(!result.itself, "9 and 5 are newer, but repeat what was");
    assert!(result.queued.is_empty() && result.in_the_air.is_empty());
    let failed = Some(soon(Verdict::Retry));
    let landed = lane.landed(replayed(5, "a", now).key, failed, now);
    assert!(!landed.unwrap().outdated);
}

#[test]
fn what_is_in_the_air_is_not_withdrawn() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 1, now);
    let found = [1, 2].map(|number| replayed(number, "a", now));
    lane.refilled(found.to_vec(), Due::default(), now);
    assert_eq!(send_all(&mut lane, now), [1]);
    assert!(!lane.may_withdraw(replayed(1, "a", now).key));
    assert!(lane.may_withdraw(replayed(2, "a", now).key));
    assert_eq!(lane.queued(), (0, 0));
    assert!(
        lane.may_withdraw(replayed(3, "a", now).key),
        "it is in the database only"
    );
}
