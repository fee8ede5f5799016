//! Order and superseding in a lane.

use super::*;

/// The n-th event, of the transaction `a`, for an address that the transaction brought.
fn brought(number: u128, subscription: u128, now: Instant) -> Item {
    let mut item = item(number, "a", now);
    item.key.subscription_id = Uuid::from_u128(subscription);
    item
}

#[test]
fn where_order_counts_no_row_passes_an_older_one_that_leaves_memory() {
    let start = Instant::now();
    let ordered = |subscription: &mut Subscription| subscription.order = Order::Transaction;
    let mut lane = lane(ordered, start);
    lane.shelf.found(1, start);
    lane.begin_refill(0.0, start).unwrap();
    for number in [0, 1] {
        lane.push(item(number, "a", start));
    }
    assert_eq!(send_all(&mut lane, start), [0]);
    let silent = start + Duration::from_secs(1);
    lane.push(item(2, "b", silent));
    lane.subscription = Arc::new(Subscription {
        max_in_flight: 1,
        ..(*lane.subscription).clone()
    });
    assert_eq!(numbers(&lane.shelve_stalled(silent)), [1, 2]);
    lane.refilled(vec![refilled(3, "b", silent)], Due::default(), silent);
    assert_eq!(lane.queued(), (0, 0), "found before 2 had its row");
    land(&mut lane, 0, Verdict::Delivered, silent);
    for number in [1, 2] {
        assert!(lane.begin_refill(0.0, silent).is_none());
        lane.recorded(item(number, "", silent).key, RecordedKind::Spilled, silent);
    }
    assert!(lane.begin_refill(0.0, silent).is_some());
}

#[test]
fn an_ordered_lane_sends_a_transaction_one_by_one_and_others_beside_it() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.order = Order::Transaction, now);
    for (number, transaction) in [(0, "a"), (1, "a"), (2, "b"), (3, "a")] {
        let _ = lane.offer(item(number, transaction, now), 0.0, now);
    }
    assert_eq!(send_all(&mut lane, now), [0, 2]);
    land(&mut lane, 0, Verdict::Delivered, now);
    assert_eq!(send_all(&mut lane, now), [1]);
}

#[test]
fn in_an_ordered_lane_the_later_events_follow_a_retry_into_the_database() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.order = Order::Transaction, now);
    for (number, transaction) in [(0, "a"), (1, "a"), (2, "b")] {
        let _ = lane.offer(item(number, transaction, now), 0.0, now);
    }
    send_all(&mut lane, now);
    land(&mut lane, 0, Verdict::Retry, now);
    assert_eq!(numbers(&lane.await_retry(&item(0, "a", now))), [1]);
    let fresh = lane.offer(item(3, "a", now), 0.0, now);
    assert!(
        matches!(fresh, Offer::Shelved(_)),
        "it must not overtake the rows"
    );
}

#[test]
fn a_newer_event_replaces_those_that_wait_and_outdates_the_one_in_the_air() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 1, now);
    for number in 0..3 {
        let _ = lane.offer(item(number, "a", now), 0.0, now);
    }
    send_all(&mut lane, now);
    let newer = item(3, "a", now);
    let result = lane.supersede(&newer.series());
    assert_eq!(numbers(&result.queued), [1, 2]);
    assert_eq!(result.in_the_air, [item(0, "a", now).key]);
    assert!(!result.itself);
    assert!(
        land(&mut lane, 0, Verdict::Retry, now).outdated,
        "it is not tried again"
    );
    let _ = lane.offer(newer, 0.0, now);
    assert!(
        lane.supersede(&item(2, "a", now).series()).itself,
        "an older one came late"
    );
}

#[test]
fn addresses_of_one_transaction_do_not_wait_for_each_other() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.order = Order::Transaction, now);
    for (number, subscription) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
        let _ = lane.offer(brought(number, subscription, now), 0.0, now);
    }
    assert_eq!(send_all(&mut lane, now), [0, 0], "the first to each");
    let key = brought(0, 1, now).key;
    lane.landed(key, Some(soon(Verdict::Retry)), now).unwrap();
    let followers = lane.await_retry(&brought(0, 1, now));
    assert_eq!(followers.len(), 1);
    assert_eq!(followers[0].key, brought(1, 1, now).key);
    let key = brought(0, 2, now).key;
    lane.landed(key, Some(soon(Verdict::Delivered)), now)
        .unwrap();
    assert_eq!(send_all(&mut lane, now), [1], "to the other address");
}

#[test]
fn a_newer_event_replaces_nothing_of_another_address() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.max_in_flight = 1, now);
    for (number, subscription) in [(0, 1), (1, 1), (1, 2)] {
        let _ = lane.offer(brought(number, subscription, now), 0.0, now);
    }
    send_all(&mut lane, now);
    let result = lane.supersede(&brought(3, 2, now).series());
    assert_eq!(result.in_the_air, []);
    assert_eq!(result.queued.len(), 1);
    assert_eq!(result.queued[0].key, brought(1, 2, now).key);
    assert!(!lane.supersede(&brought(0, 3, now).series()).itself);
    let withdrawn = lane.withdraw(Uuid::from_u128(1));
    assert_eq!(numbers(&withdrawn), [1]);
}

#[test]
fn an_ordered_lane_keeps_fresh_deliveries_in_memory_while_replays_wait() {
    let now = Instant::now();
    let mut lane = lane(|subscription| subscription.order = Order::Transaction, now);
    lane.shelf.found_replays(5, now);
    assert_eq!(offer(&mut lane, 0..1, now), 0);
    lane.shelf.found(1, now);
    assert_eq!(
        offer(&mut lane, 1..2, now),
        1,
        "an older event may be among these"
    );
}

#[test]
fn a_lane_without_order_has_no_guard_and_is_the_smaller_for_it() {
    let plain = lane(|_| {}, Instant::now());
    assert!(plain.order.is_none());
    // 544 bytes when every lane had what order needs.
    let bytes = size_of_val(&plain);
    assert!(bytes <= 472, "{bytes}");
}
