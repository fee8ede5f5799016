mod credentials;
mod order;
mod replays;

use uuid::Uuid;

use super::*;
use crate::dispatch::item::{RowState, sample as item};
use crate::dispatch::shelf::Due;
use crate::model::{Auth, Credential, samples};

const SETTINGS: LaneSettings = LaneSettings {
    spill_after: Duration::from_secs(2),
    breaker: BreakerSettings {
        failures: 3,
        probe_min: Duration::from_millis(100),
        probe_max: Duration::from_secs(1),
    },
};
const SOON: Duration = Duration::from_millis(1);

fn lane(change: impl FnOnce(&mut Subscription), now: Instant) -> Lane {
    let mut subscription = samples::subscription();
    change(&mut subscription);
    Lane::new(Arc::new(subscription), SETTINGS, false, now)
}

fn refilled(number: u128, transaction_id: &str, now: Instant) -> Item {
    Item {
        row: RowState::Recorded,
        ..item(number, transaction_id, now)
    }
}

/// What a replay opened of the n-th event.
fn replayed(number: u128, transaction_id: &str, now: Instant) -> Item {
    let mut item = refilled(number, transaction_id, now);
    item.key.generation = 1;
    item
}

/// Offers events of different transactions.
fn offer(lane: &mut Lane, numbers: std::ops::Range<u128>, now: Instant) -> usize {
    let shelved = numbers.filter(|number| {
        matches!(
            lane.offer(item(*number, &number.to_string(), now), 0.0, now),
            Offer::Shelved(_)
        )
    });
    shelved.count()
}

fn send_all(lane: &mut Lane, now: Instant) -> Vec<u128> {
    std::iter::from_fn(|| lane.next(now))
        .map(|item| item.event.id.as_u128())
        .collect()
}

fn land(lane: &mut Lane, number: u128, verdict: Verdict, now: Instant) -> Landing {
    answer(lane, number, verdict, false, now)
}

/// The credential is refused.
fn refuse(lane: &mut Lane, number: u128, now: Instant) {
    answer(lane, number, Verdict::Retry, true, now);
}

fn answer(lane: &mut Lane, number: u128, verdict: Verdict, refused: bool, now: Instant) -> Landing {
    let answered = Answered {
        refused,
        ..soon(verdict)
    };
    lane.landed(item(number, "", now).key, Some(answered), now)
        .unwrap()
}

fn soon(verdict: Verdict) -> Answered {
    Answered {
        verdict,
        refused: false,
        told_to_wait: None,
        took: SOON,
    }
}

fn numbers(items: &[Item]) -> Vec<u128> {
    items.iter().map(|item| item.event.id.as_u128()).collect()
}

#[test]
fn no_more_than_max_in_flight_are_in_the_air() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 3, now);
    assert_eq!(offer(&mut lane, 0..10, now), 0);
    assert_eq!(send_all(&mut lane, now), [0, 1, 2]);
    land(&mut lane, 1, Verdict::Delivered, now);
    assert_eq!(send_all(&mut lane, now), [3], "one came back, one goes");
}

#[test]
fn a_silent_endpoint_gets_what_it_can_take_and_the_rest_goes_to_the_database() {
    let start = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 2, start);
    assert_eq!(offer(&mut lane, 0..2, start), 0);
    send_all(&mut lane, start);
    let later = start + Duration::from_secs(8);
    assert_eq!(offer(&mut lane, 2..102, later), 100, "no answer for 8 s");
    for number in [0, 1] {
        land(&mut lane, number, Verdict::Delivered, later);
    }
    assert_eq!(
        offer(&mut lane, 102..103, later),
        1,
        "fresh ones queue up behind the rows"
    );
}

#[test]
fn what_waits_for_an_endpoint_that_falls_silent_leaves_memory() {
    let start = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 2, start);
    offer(&mut lane, 0..20, start);
    send_all(&mut lane, start);
    assert!(lane.shelve_stalled(start).is_empty());
    let silent = lane.wake_at(0.0, start).unwrap();
    assert_eq!(silent, start + Duration::from_secs(1));
    let left: Vec<u128> = (2..20).collect();
    assert_eq!(numbers(&lane.shelve_stalled(silent)), left);
    assert_eq!(lane.queued(), (0, 0));
    lane.shelf.due_at(silent);
    assert!(lane.begin_refill(0.0, silent).is_none());
    land(&mut lane, 0, Verdict::Delivered, silent);
    let (room, _) = lane.begin_refill(0.0, silent).unwrap();
    assert!(room.deliveries >= 18, "it answers again");
}

#[test]
fn what_waits_for_a_failing_endpoint_leaves_memory_and_comes_back_one_by_one() {
    let start = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 3, start);
    offer(&mut lane, 0..20, start);
    for number in send_all(&mut lane, start) {
        land(&mut lane, number, Verdict::Retry, start);
    }
    let left: Vec<u128> = (3..20).collect();
    assert_eq!(numbers(&lane.shelve_stalled(start)), left);
    lane.shelf.due_at(start);
    assert!(lane.begin_refill(0.0, start).is_none());
    let probe = lane.wake_at(0.0, start).unwrap();
    let (room, _) = lane.begin_refill(0.0, probe).unwrap();
    assert_eq!(room.deliveries, 1);
    lane.refilled(vec![refilled(3, "3", probe)], Due::default(), probe);
    assert!(lane.shelve_stalled(probe).is_empty());
    assert_eq!(send_all(&mut lane, probe), [3]);
}

#[test]
fn rows_leave_the_feed_its_half_of_the_memory() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 10, now);
    lane.shelf.found(5000, now);
    assert!(lane.refill_room(0.4, now) > 100);
    assert_eq!(lane.refill_room(0.5, now), 10, "what goes out at once");
    assert_eq!(lane.refill_room(1.0, now), 0);
}

#[test]
fn memory_pressure_makes_a_lane_smaller() {
    let now = Instant::now();
    let mut calm = lane(|subscription| subscription.max_in_flight = 10, now);
    let fits = |lane: &mut Lane, pressure| {
        (0..5000)
            .take_while(|number| {
                matches!(
                    lane.offer(item(*number, "t", now), pressure, now),
                    Offer::Queued
                )
            })
            .count()
    };
    let room = fits(&mut calm, 0.0);
    let mut pressed = lane(|subscription| subscription.max_in_flight = 10, now);
    assert!(fits(&mut pressed, 0.9) <= room / 9, "of {room}");
}

#[test]
fn what_has_waited_too_long_gets_a_row_and_leaves_memory_where_the_endpoint_is_slow() {
    let start = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 1, start);
    offer(&mut lane, 0..20, start);
    assert_eq!(lane.wake_at(0.0, start), Some(start + SETTINGS.spill_after));
    send_all(&mut lane, start);
    assert!(lane.overdue(start + Duration::from_secs(1)).is_empty());
    let later = start + SETTINGS.spill_after;
    let overdue = lane.overdue(later);
    assert_eq!(overdue.len(), 20, "the one in the air too");
    assert!(lane.overdue(later).is_empty(), "once");
    let keys = overdue.iter().map(|item| item.key).collect();
    lane.rows_recorded(&keys, 0.0, later);
    assert!(lane.queued().0 <= 1, "one send has taken 2 s and goes on");
    assert!(lane.shelf.rows() >= 18);
}

#[test]
fn a_refill_leaves_out_what_is_in_memory_or_about_to_change() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 2, now);
    lane.shelf.found(4, now);
    let (room, held) = lane.begin_refill(0.0, now).unwrap();
    assert!(room.deliveries >= 2 && held.is_empty());
    lane.refilled(
        vec![refilled(0, "a", now), refilled(1, "b", now)],
        Due::default(),
        now,
    );
    send_all(&mut lane, now);
    land(&mut lane, 0, Verdict::Delivered, now);
    lane.shelf.row_changes(item(0, "a", now).key);
    lane.shelf.due_at(now);
    let (_, mut held) = lane.begin_refill(0.0, now).unwrap();
    held.sort_unstable();
    assert_eq!(held, [item(0, "a", now).key, item(1, "b", now).key]);
    lane.refilled(
        vec![refilled(0, "a", now), refilled(1, "b", now)],
        Due::default(),
        now,
    );
    assert_eq!(lane.queued().0, 0, "the rows were read before they changed");
}

#[test]
fn a_failing_endpoint_is_probed_one_request_at_a_time() {
    let start = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 5, start);
    offer(&mut lane, 0..10, start);
    for number in send_all(&mut lane, start) {
        land(&mut lane, number, Verdict::Retry, start);
    }
    assert!(lane.is_failing());
    assert_eq!(send_all(&mut lane, start), []);
    let probe = start + SETTINGS.breaker.probe_min;
    assert_eq!(lane.wake_at(0.0, start), Some(probe));
    assert_eq!(send_all(&mut lane, probe), [5]);
    land(&mut lane, 5, Verdict::Delivered, probe);
    assert_eq!(send_all(&mut lane, probe), [6, 7], "it ramps up");
}

#[test]
fn a_rate_limit_spreads_the_sends() {
    let start = Instant::now();
    let mut lane = lane(|subscription| subscription.rate = Some(10.0), start);
    offer(&mut lane, 0..3, start);
    assert_eq!(send_all(&mut lane, start), [0]);
    let next = lane.wake_at(0.0, start).unwrap();
    assert_eq!(next, start + Duration::from_millis(100));
    assert_eq!(send_all(&mut lane, next), [1]);
}

#[test]
fn a_held_subscription_sends_nothing_and_a_disabled_one_gives_up_what_waits() {
    let now = Instant::now();
    let mut lane = lane(|_| {}, now);
    offer(&mut lane, 0..2, now);
    let mut changed = (*lane.subscription).clone();
    changed.paused = true;
    lane.configure(Arc::new(changed.clone()), now);
    assert_eq!(send_all(&mut lane, now), []);
    assert_eq!(
        offer(&mut lane, 2..3, now),
        1,
        "what comes meanwhile waits in the database"
    );
    assert!(lane.next_to_withdraw().is_none());
    changed.enabled = false;
    lane.configure(Arc::new(changed), now);
    let withdrawn = std::iter::from_fn(|| lane.next_to_withdraw()).count();
    assert_eq!(withdrawn, 2);
    assert!(
        lane.begin_refill(0.0, now).is_some(),
        "the rows are fetched to be withdrawn"
    );
}

#[test]
fn rows_that_come_back_to_a_held_lane_stay_in_the_database() {
    let now = Instant::now();
    let mut lane = lane(|_| {}, now);
    lane.shelf.found(2, now);
    lane.begin_refill(0.0, now).unwrap();
    let mut changed = (*lane.subscription).clone();
    changed.paused = true;
    lane.configure(Arc::new(changed.clone()), now);
    let found = vec![refilled(0, "a", now), refilled(1, "b", now)];
    lane.refilled(found, Due::default(), now);
    assert_eq!(lane.queued(), (0, 0));
    changed.paused = false;
    lane.configure(Arc::new(changed), now);
    assert!(
        lane.begin_refill(0.0, now).is_some(),
        "they are fetched again"
    );
}

#[test]
fn a_draining_lane_gives_up_what_waits_and_waits_for_what_flies() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 1, now);
    offer(&mut lane, 0..3, now);
    send_all(&mut lane, now);
    assert_eq!(numbers(&lane.drain()), [1, 2]);
    land(&mut lane, 0, Verdict::Delivered, now);
    assert_eq!(lane.in_flight(), 0);
    assert_eq!(offer(&mut lane, 3..4, now), 1);
    assert_eq!(lane.queued(), (0, 0));
}
