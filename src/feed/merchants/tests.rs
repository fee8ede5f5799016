use super::*;
use crate::model::{Identity, samples};

const SHARD: Shard = Shard(3);

fn row(merchant: &str, id: u128) -> Resolved {
    let identity = Identity {
        id: Uuid::from_u128(id),
        shard: SHARD,
        ..Identity::unwritten(merchant, "orders")
    };
    Resolved {
        identity,
        subscription: None,
        unusable: None,
    }
}

fn event(merchant: &str) -> Arc<Event> {
    Arc::new(Event {
        merchant: merchant.into(),
        shard: SHARD,
        ..samples::event()
    })
}

fn to_read(merchants: &mut Merchants, of: &[&str]) -> Vec<String> {
    let events: Vec<_> = of.iter().map(|merchant| event(merchant)).collect();
    let found = merchants.to_read(&events).into_iter();
    found.map(|(merchant, _)| merchant).collect()
}

fn changed(of: &[&str]) -> Changed {
    Changed::Merchants(of.iter().map(|&merchant| merchant.to_owned()).collect())
}

/// Merchants of a shard that has been gone through.
fn adopted(known: &[&str]) -> Merchants {
    let mut merchants = Merchants::default();
    merchants.adopt([SHARD]);
    assert!(matches!(merchants.next_look(), Some(Look::Shards(_))));
    let asked: Vec<_> = known.iter().map(|it| ((*it).to_owned(), SHARD)).collect();
    merchants.learn(&asked, Vec::new());
    merchants
}

fn looks_at(merchants: &mut Merchants) -> Vec<String> {
    match merchants.next_look() {
        Some(Look::Merchants(looked_at)) => looked_at,
        None => Vec::new(),
        Some(Look::Shards(places)) => panic!("goes through {places:?}"),
    }
}

#[test]
fn a_merchant_is_read_before_its_first_event_and_after_a_change() {
    let mut merchants = adopted(&["a"]);
    assert_eq!(to_read(&mut merchants, &["a", "b", "b"]), ["b"]);
    merchants.learn(&[("b".to_owned(), SHARD)], vec![row("b", 1)]);
    assert!(to_read(&mut merchants, &["a", "b"]).is_empty());
    assert!(!merchants.lacks_lane(SHARD, Uuid::from_u128(1)));
    merchants.changed(changed(&["b", "c"]));
    assert_eq!(to_read(&mut merchants, &["a", "b"]), ["b"]);
    merchants.changed(Changed::Any);
    assert_eq!(to_read(&mut merchants, &["a", "b"]), ["a", "b"]);
}

#[test]
fn of_a_shard_that_the_dispatcher_has_not_adopted_nothing_is_learnt() {
    let mut merchants = Merchants::default();
    merchants.learn(&[], vec![row("a", 1)]);
    assert!(!merchants.lacks_lane(SHARD, Uuid::from_u128(1)));
    merchants.adopt([SHARD]);
    assert_eq!(to_read(&mut merchants, &["a"]), ["a"]);
    assert!(merchants.lacks_lane(SHARD, Uuid::from_u128(1)));
}

#[test]
fn what_changes_while_it_is_read_beside_the_events_is_read_again() {
    let mut merchants = adopted(&["a", "b"]);
    merchants.changed(changed(&["a", "b"]));
    assert_eq!(looks_at(&mut merchants), ["a", "b"]);
    assert_eq!(
        to_read(&mut merchants, &["a", "b"]),
        ["a", "b"],
        "under way"
    );
    merchants.changed(changed(&["a"]));
    let taken = merchants.looked(vec![row("a", 1), row("b", 2)]);
    let taken: Vec<_> = taken.iter().map(|row| &*row.identity.merchant).collect();
    assert_eq!(taken, ["b"]);
    assert_eq!(to_read(&mut merchants, &["a", "b"]), ["a"]);
    assert_eq!(looks_at(&mut merchants), ["a"]);
}

#[test]
fn the_idle_are_counted_and_not_kept() {
    let mut merchants = adopted(&[]);
    merchants.survey(&[row("a", 1), row("b", 2)], 10);
    merchants.survey(&[row("b", 2)], 10);
    merchants.changed(changed(&["b", "c"]));
    looks_at(&mut merchants);
    assert!(merchants.looked(vec![row("b", 2), row("c", 3)]).is_empty());
    assert_eq!(merchants.subscriptions(), 3);
    assert_eq!(to_read(&mut merchants, &["a", "b", "c"]), ["a", "b", "c"]);
    merchants.forget(&[SHARD]);
    assert_eq!(merchants.subscriptions(), 0);
}

#[test]
fn of_very_many_those_without_events_may_be_forgotten() {
    let mut merchants = adopted(&["a", "b", "c"]);
    merchants.learn(&[], vec![row("a", 1)]);
    assert!(merchants.to_forget(1, true).is_empty(), "just read");
    to_read(&mut merchants, &["b"]);
    let mut idle = merchants.to_forget(1, true);
    idle.sort();
    assert_eq!(idle, [("a".to_owned(), SHARD), ("c".to_owned(), SHARD)]);
    merchants.forgotten(&Forgotten {
        merchant: "a".to_owned(),
        subscriptions: vec![Uuid::from_u128(1)],
    });
    assert_eq!(to_read(&mut merchants, &["a", "b", "c"]), ["a"]);
    assert!(merchants.lacks_lane(SHARD, Uuid::from_u128(1)));
    assert!(merchants.to_forget(2, true).is_empty(), "they are no more");
}
