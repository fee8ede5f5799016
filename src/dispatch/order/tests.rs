use std::time::Instant;

use super::*;
use crate::dispatch::item::sample;
use crate::model::{State, samples};

fn guard(change: impl FnOnce(&mut Subscription)) -> Option<Box<OrderGuard>> {
    let mut subscription = samples::subscription();
    change(&mut subscription);
    OrderGuard::of(&subscription, false)
}

fn in_order() -> OrderGuard {
    *guard(|subscription| subscription.order = Order::Transaction).unwrap_or_default()
}

/// The n-th event of one transaction.
fn item(number: u128) -> Item {
    sample(number, "T", Instant::now())
}

#[test]
fn only_who_asks_for_order_or_for_the_newest_has_a_guard() {
    assert!(guard(|_| {}).is_none());
    assert!(guard(|subscription| subscription.supersede = true).is_some());
    assert!(guard(|subscription| subscription.order = Order::Transaction).is_some());
}

#[test]
fn one_of_a_series_is_in_the_air_at_a_time() {
    let mut guard = in_order();
    guard.sent(&item(1));
    assert!(!guard.may_send(&item(2)));
    guard.landed(&item(1));
    assert!(guard.may_send(&item(2)));
}

#[test]
fn rows_wait_for_what_is_in_the_log_and_for_what_was_read_of_it() {
    let mut guard = in_order();
    guard.falls_behind_log();
    assert!(!guard.may_refill());
    guard.caught_up(true);
    assert!(!guard.may_refill(), "what was read last has no row yet");
    guard.recorded(item(1).key, RecordedKind::Spilled, false, true);
    assert!(!guard.may_refill(), "another one has none");
    guard.recorded(item(2).key, RecordedKind::Spilled, false, false);
    assert!(guard.may_refill());
}

#[test]
fn a_refill_that_began_before_brings_nothing_newer_than_what_failed() {
    let mut guard = in_order();
    guard.failed(&item(2));
    assert!(guard.may_take(&item(1)));
    assert!(!guard.may_take(&item(3)));
    guard.recorded(
        item(2).key,
        RecordedKind::Retry(Instant::now()),
        true,
        false,
    );
    assert!(!guard.may_take(&item(3)), "it may have been found before");
    guard.refill_ended();
    assert!(guard.may_take(&item(3)));
}

#[test]
fn what_failed_and_ended_as_the_database_refused_its_retry_bars_nothing() {
    let mut guard = in_order();
    guard.failed(&item(2));
    let ended = RecordedKind::Finished(State::PostingError);
    guard.recorded(item(2).key, ended, false, false);
    assert!(guard.may_take(&item(3)));
}

#[test]
fn rows_wait_for_the_end_of_what_can_have_no_row() {
    let mut guard = in_order();
    guard.leaves(&item(1), false);
    guard.recorded(item(1).key, RecordedKind::Refused, false, false);
    guard.ends_for_want_of_a_row(item(1).key, false);
    assert!(!guard.may_refill());
    let ended = RecordedKind::Finished(State::PostingError);
    guard.recorded(item(1).key, ended, false, false);
    assert!(guard.may_refill());
}

#[test]
fn where_only_the_newest_counts_nothing_waits_and_nothing_older_comes_back() {
    let guard = guard(|subscription| subscription.supersede = true);
    let mut guard = *guard.unwrap_or_default();
    guard.sent(&item(1));
    guard.leaves(&item(1), true);
    assert!(guard.may_send(&item(2)) && guard.may_refill() && guard.may_take_fresh(9));
    guard.superseded(&item(2).series(), true);
    assert!(!guard.may_take(&item(1)));
    assert!(guard.may_take(&item(3)));
}

#[test]
fn a_guard_stays_as_long_as_it_bars_something() {
    let mut guard = in_order();
    let plain = samples::subscription();
    guard.failed(&item(1));
    assert!(guard.configure(&plain));
    guard.recorded(item(1).key, RecordedKind::Fenced, false, false);
    assert!(!guard.configure(&plain));
}
