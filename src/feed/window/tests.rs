use super::*;
use crate::model::samples;

fn snapshot(text: &str) -> Snapshot {
    text.parse().unwrap()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// By transaction and id, each of a payment of its own.
fn written_by(rows: &[(u64, u128)]) -> Vec<(u64, Event)> {
    let event = |(xid, number): &(u64, u128)| {
        let mut event = samples::event();
        event.id = id(*number);
        event.transaction_id = format!("T-{number}").into();
        (*xid, event)
    };
    rows.iter().map(event).collect()
}

fn page(until: &str, rows: &[(u64, u128)], overtaking: &[u128]) -> WindowPage {
    WindowPage {
        until: snapshot(until),
        events: written_by(rows),
        overtaking: overtaking.iter().copied().map(id).collect(),
        revision: 0,
    }
}

fn ids(turned: &Turned) -> Vec<u128> {
    let ids = turned.events.iter().map(|event| event.id.as_u128());
    ids.collect()
}

fn late(window: &mut Window, limit: i64) -> Vec<(u64, u128, bool)> {
    let late = window.next_page(limit).late.iter();
    late.map(|it| (it.xid, it.after.as_u128(), it.left))
        .collect()
}

#[test]
fn a_short_page_ends_the_window() {
    let mut window = Window::since(&snapshot("5:9:5,7"), None);
    assert_eq!(late(&mut window, 3), [(5, 0, false), (7, 0, false)]);
    assert_eq!(window.next_page(3).after, (9, Uuid::nil()));
    let turned = window.turn(page("7:12:7", &[(5, 1), (9, 2), (10, 3)], &[]));
    assert_eq!(ids(&turned), [1, 2, 3]);
    assert_eq!(turned.complete, Some(snapshot("7:12:7")));
}

#[test]
fn a_full_page_goes_on_after_its_last_row_with_the_same_end() {
    let mut window = Window::since(&snapshot("9:9:"), None);
    window.next_page(2);
    let turned = window.turn(page("12:12:", &[(9, 1), (10, 2)], &[]));
    assert_eq!(turned.complete, None);
    let request = window.next_page(2);
    assert_eq!(request.after, (10, id(2)));
    assert_eq!(request.until, Some(snapshot("12:12:")));
    let turned = window.turn(page("12:12:", &[], &[]));
    assert_eq!(turned.complete, Some(snapshot("12:12:")));
}

#[test]
fn a_page_comes_in_the_order_of_the_ids() {
    let mut window = Window::since(&snapshot("5:9:5"), None);
    window.next_page(5);
    let turned = window.turn(page("12:12:", &[(5, 3), (9, 2), (10, 1)], &[]));
    assert_eq!(ids(&turned), [1, 2, 3]);
}

#[test]
fn where_a_transaction_proves_to_be_large_the_page_is_read_again() {
    let mut window = Window::in_turns(&snapshot("5:9:5,6"), &[]);
    window.next_page(2);
    let rows = [(5, 1), (5, 2), (6, 3), (9, 4)];
    let turned = window.turn(page("12:12:", &rows, &[]));
    assert_eq!(ids(&turned), []);
    assert_eq!(turned.complete, None);
    assert_eq!(late(&mut window, 2), [(5, 0, true), (6, 0, false)]);
    let request = window.next_page(2);
    assert_eq!(request.after, (9, Uuid::nil()));
    assert_eq!(request.until, Some(snapshot("12:12:")));
}

#[test]
fn a_large_transaction_is_left_and_the_next_window_goes_on_with_it() {
    let mut window = Window::in_turns(&snapshot("5:9:5,6"), &[(5, id(1))]);
    assert_eq!(late(&mut window, 2), [(5, 1, true), (6, 0, false)]);
    let turned = window.turn(page("12:12:", &[(5, 2), (5, 3), (6, 4), (9, 5)], &[]));
    assert_eq!(ids(&turned), [2, 3, 4, 5]);
    let end = turned.complete.unwrap();
    assert_eq!(end, snapshot("5:12:5"));
    assert_eq!(turned.left, [(5, id(3))]);

    let mut window = Window::in_turns(&end, &turned.left);
    assert_eq!(late(&mut window, 2), [(5, 3, true)]);
    let turned = window.turn(page("13:13:", &[(5, 6), (12, 7)], &[]));
    assert_eq!(ids(&turned), [6, 7]);
    assert_eq!(turned.complete, Some(snapshot("13:13:")));
    assert_eq!(turned.left, []);
}

#[test]
fn it_takes_its_turn_with_each_page_of_the_younger() {
    let mut window = Window::in_turns(&snapshot("5:9:5"), &[(5, id(1))]);
    window.next_page(2);
    let turned = window.turn(page("12:12:", &[(5, 2), (5, 3), (9, 4), (9, 5)], &[]));
    assert_eq!(ids(&turned), [2, 3, 4, 5]);
    assert_eq!(turned.complete, None);
    assert_eq!(late(&mut window, 2), [(5, 3, true)]);
    assert_eq!(window.next_page(2).after, (9, id(5)));
}

#[test]
fn a_window_that_leaves_nothing_goes_on_until_all_is_read() {
    let mut window = Window::since(&snapshot("5:9:5"), None);
    window.next_page(1);
    window.turn(page("12:12:", &[(5, 1), (9, 2)], &[]));
    window.next_page(1);
    let turned = window.turn(page("12:12:", &[(5, 1), (9, 2)], &[]));
    assert_eq!(ids(&turned), [1, 2]);
    window.next_page(1);
    let turned = window.turn(page("12:12:", &[(5, 3)], &[]));
    assert_eq!((ids(&turned), turned.complete), (vec![3], None));
    assert_eq!(late(&mut window, 1), [(5, 3, true)]);
    let turned = window.turn(page("12:12:", &[], &[]));
    assert_eq!(turned.complete, Some(snapshot("12:12:")));
    assert_eq!(turned.left, []);
}

#[test]
fn what_would_overtake_waits_with_what_comes_after_it() {
    let mut window = Window::in_turns(&snapshot("5:9:5,7"), &[(5, id(1))]);
    window.next_page(9);
    // 14 would overtake the rest of 5, and so do 15 and 16, which tell of its payment.
    let mut page = page(
        "20:20:",
        &[
            (5, 2),
            (7, 13),
            (7, 14),
            (7, 15),
            (9, 10),
            (9, 16),
            (10, 17),
        ],
        &[14],
    );
    for (_, event) in &mut page.events {
        if [14, 16].contains(&event.id.as_u128()) {
            event.transaction_id = "T".into();
        }
    }
    let turned = window.turn(page);
    assert_eq!(ids(&turned), [2, 10, 13, 17]);
    assert_eq!(turned.complete, Some(snapshot("7:20:7,9")));
    assert_eq!(turned.left, [(7, id(13)), (9, id(10))]);
}

#[test]
fn one_that_is_held_back_at_its_first_event_and_cut_by_the_page_is_left_there() {
    let mut window = Window::in_turns(&snapshot("5:9:5"), &[(5, id(1))]);
    window.next_page(2);
    let turned = window.turn(page("12:12:", &[(5, 2), (5, 3), (9, 4), (9, 5)], &[4]));
    assert_eq!(ids(&turned), [2, 3]);
    assert_eq!(turned.complete, None);
    assert_eq!(late(&mut window, 2), [(5, 3, true), (9, 0, true)]);
    assert_eq!(window.next_page(2).after, (9, Uuid::max()));
}

#[test]
fn one_that_is_held_back_on_its_second_page_is_left_where_the_first_ended() {
    let mut window = Window::in_turns(&snapshot("5:9:5"), &[(5, id(1))]);
    window.next_page(2);
    let turned = window.turn(page("12:12:", &[(5, 2), (9, 3), (9, 4)], &[]));
    assert_eq!(ids(&turned), [2, 3, 4]);
    window.next_page(2);
    let turned = window.turn(page("12:12:", &[(9, 5)], &[5]));
    assert_eq!(ids(&turned), []);
    assert_eq!(turned.left, [(9, id(4))]);
}

#[test]
fn with_too_many_that_are_left_the_younger_ones_wait() {
    let running = |count: u64| Snapshot {
        xmin: 5,
        xmax: 1000,
        running: (5..5 + count).collect(),
    };
    let left = |from: &Snapshot| -> Vec<Left> {
        let running = from.running.iter();
        running.map(|xid| (*xid, Uuid::nil())).collect()
    };
    let most = u64::try_from(LEFT).unwrap();
    for (count, handed_on) in [(most, vec![1, 2]), (most + 1, vec![1])] {
        let from = running(count);
        let mut window = Window::in_turns(&from, &left(&from));
        window.next_page(2);
        let turned = window.turn(page("2000:2000:", &[(5, 1), (1000, 2)], &[]));
        assert_eq!(ids(&turned), handed_on, "{count}");
        let is_complete = turned.complete.is_some();
        assert_eq!(is_complete, count == most, "{count}");
    }
}
