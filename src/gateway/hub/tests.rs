use futures::FutureExt;
use uuid::Uuid;

use super::*;
use crate::gateway::topic::Of;
use crate::model::{Event, Snapshot, samples};
use crate::store::merchant_feed::FeedPage;

fn snapshot(text: &str) -> Snapshot {
    text.parse().unwrap()
}

fn acme() -> Topic {
    Topic {
        merchant: "acme".into(),
        of: Of::Everything,
    }
}

fn event(id: u128, merchant: &str) -> Event {
    Event {
        id: Uuid::from_u128(id),
        merchant: merchant.into(),
        ..samples::event()
    }
}

/// A hub that began at 10 and has read one event a transaction since.
fn hub(room: usize, written: &[(u64, &str)]) -> Arc<Hub> {
    let hub = Arc::new(Hub::new(Room {
        events: room,
        bytes: usize::MAX,
    }));
    let mut at = Position::at(snapshot("10:10:"));
    hub.restart(ClusterMark::of("1"), at.clone(), 1);
    for (xid, merchant) in written {
        let stretch = at.stretch(FeedPage {
            until: snapshot(&format!("{0}:{0}:", xid + 1)),
            events: vec![(*xid, event(u128::from(*xid), merchant))],
            reached: None,
        });
        at = stretch.end.clone();
        hub.add(stretch, None, 2);
    }
    hub
}

fn new(look: Look) -> Vec<u128> {
    match look {
        Look::New { entries, .. } => {
            let ids = entries.iter().map(|entry| entry.event.event.id.as_u128());
            ids.collect()
        }
        Look::Nothing(_) => vec![],
        Look::Unknown => panic!("unknown"),
    }
}

#[test]
fn a_client_gets_what_its_position_has_not_seen() {
    let hub = hub(
        100,
        &[(10, "acme"), (11, "other"), (12, "acme"), (13, "acme")],
    );
    let at = |text: &str| Position::at(snapshot(text));
    assert_eq!(new(hub.look(&at("10:10:"), &acme())), [10, 12, 13]);
    assert_eq!(new(hub.look(&at("11:11:"), &acme())), [12, 13]);
    assert_eq!(new(hub.look(&at("14:14:"), &acme())), [] as [u128; 0]);
    // 12 ran when this client's last window ended, and 13 did not.
    assert_eq!(new(hub.look(&at("12:14:12"), &acme())), [12]);
    // Another gateway had read on.
    assert_eq!(new(hub.look(&at("20:20:"), &acme())), [] as [u128; 0]);
    assert!(matches!(hub.look(&at("9:9:"), &acme()), Look::Unknown));
}

#[test]
fn what_has_no_room_is_the_databases_to_know() {
    let hub = hub(2, &[(10, "acme"), (11, "acme"), (12, "acme")]);
    let at = |text: &str| Position::at(snapshot(text));
    assert!(matches!(hub.look(&at("10:10:"), &acme()), Look::Unknown));
    assert_eq!(new(hub.look(&at("11:11:"), &acme())), [11, 12]);
}

#[test]
fn a_listener_wakes_for_its_own_topic_alone() {
    let hub = hub(100, &[]);
    let mut listener = hub.listen(&acme());
    let publish = |xid: u64, merchant: &str| {
        let from = hub.head().unwrap();
        let stretch = from.stretch(FeedPage {
            until: snapshot(&format!("{0}:{0}:", xid + 1)),
            events: vec![(xid, event(u128::from(xid), merchant))],
            reached: None,
        });
        hub.add(stretch, None, 3);
    };
    publish(10, "other");
    assert!(listener.woken().now_or_never().is_none());
    publish(11, "acme");
    assert!(listener.woken().now_or_never().is_some());
    listener.reset();
    assert!(listener.woken().now_or_never().is_none());
    drop(listener);
    assert!(hub.topics().is_empty());
}
