//! Which deliveries the committed events ask for, as far as it can be known from outside: what
//! was committed later than an event may have been seen with it, or not.

use posthorn::model::{DeliveryKey, Emit, Event, Scope, Subscription};
use uuid::Uuid;

use crate::database::{Brought, Database, Stored};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    No,
    Maybe,
    Yes,
}

/// The deliveries that a committed event surely asks for.
pub fn wanted(database: &Database, stored: &Stored) -> Vec<DeliveryKey> {
    let mut found = Vec::new();
    for subscription in database.subscriptions.values() {
        if *subscription.merchant != *stored.event.merchant {
            continue;
        }
        let ids = match subscription.scope {
            Scope::Merchant => vec![subscription.id],
            Scope::Transaction => {
                let brought = database.series_of(&stored.event).brought.iter();
                let of_it = |id: &&Uuid| database.brought[*id].template_id == subscription.id;
                brought.filter(of_it).copied().collect()
            }
        };
        let surely = ids
            .into_iter()
            .filter(|id| whether(database, (stored.xid, &stored.event), *id) == Wanted::Yes);
        found.extend(surely.map(|id| DeliveryKey::first(stored.event.id, id)));
    }
    found
}

/// Whether a committed event is for this subscription, or for this address of its transaction.
/// The event comes with the transaction that wrote it.
pub fn whether(database: &Database, event: (u64, &Event), id: Uuid) -> Wanted {
    if let Some(brought) = database.brought.get(&id) {
        let template = &database.subscriptions[&brought.template_id];
        let reached = reaches(database, event, brought);
        return changes(database, event, template).min(reached);
    }
    let subscription = &database.subscriptions[&id];
    if subscription.scope == Scope::Transaction || *subscription.merchant != *event.1.merchant {
        return Wanted::No;
    }
    changes(database, event, subscription)
}

fn reaches(database: &Database, (xid, event): (u64, &Event), brought: &Brought) -> Wanted {
    let is_its = brought.merchant == event.merchant
        && brought.transaction_id == event.transaction_id
        && brought.created_at <= event.created_at;
    match database.commit_of(brought.xid) {
        Some(commit) if is_its => {
            let was_there = database
                .commit_of(xid)
                .is_none_or(|its| commit.place <= its.place);
            if was_there && !brought.ended {
                Wanted::Yes
            } else {
                Wanted::Maybe
            }
        }
        _ => Wanted::No,
    }
}

/// Whether the subscription was enabled at the event's time, and the event changes its
/// transaction's status, where only that counts. The event before it is
/// looked up once it was read: what was committed by then may be the one before it.
fn changes(
    database: &Database,
    (xid, event): (u64, &Event),
    subscription: &Subscription,
) -> Wanted {
    // Where the clock stepped, the event's time does not say what came first.
    let is_certain = database.stepped.is_zero() || !database.was_ever_disabled(subscription.id);
    if !is_certain {
        return Wanted::Maybe;
    }
    if !database.was_enabled(subscription.id, event.created_at) {
        return Wanted::No;
    }
    if subscription.emit == Emit::Every {
        return Wanted::Yes;
    }
    let its = database.commit_of(xid);
    let before = database.series_of(event).events.range(..event.id).rev();
    let (mut may, mut may_not) = (false, false);
    let mut is_first = true;
    for (_, (xid, status)) in before {
        let Some(commit) = database.commit_of(*xid) else {
            continue;
        };
        if *status == event.status {
            may_not = true;
        } else {
            may = true;
        }
        if its.is_none_or(|its| commit.place <= its.place) {
            is_first = false;
            break;
        }
    }
    match (may || is_first, may_not) {
        (true, true) => Wanted::Maybe,
        (true, false) => Wanted::Yes,
        (false, _) => Wanted::No,
    }
}
