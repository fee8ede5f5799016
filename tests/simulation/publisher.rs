//! The provider's application: transactions that insert events, side by side, and commit in
//! any order or not at all.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::model::{Event, Scope, Subscription};
use uuid::Uuid;

use crate::database::{Brought, Database, Transaction};
use crate::executor::WORLD;
use crate::scenario::Chance;
use crate::setting::{merchant, shard};
use crate::world::World;

/// Status changes of so many payments come from one publisher at a time.
const PAYMENTS: usize = 3;

pub fn start(world: &Rc<World>) {
    for number in 0..world.scenario.publishers {
        let chance = world.chance.borrow_mut().split();
        world.executor.spawn(WORLD, {
            let world = Rc::clone(world);
            publish(world, number, chance)
        });
    }
    // One that began yesterday, and is open still.
    if world.chance.borrow_mut().happens(0.3) {
        let mut chance = world.chance.borrow_mut().split();
        let world = Rc::clone(world);
        world.executor.clone().spawn(WORLD, async move {
            let yesterday = world.database.borrow().began - TimeDelta::hours(2);
            let transaction = world.with_database(|database| {
                let transaction = database.begin();
                for _ in 0..3 {
                    insert(
                        &mut chance,
                        &world,
                        database,
                        transaction,
                        (yesterday, "old"),
                    );
                }
                transaction
            });
            let until = chance.span(1_000, 10_000);
            world.executor.sleep(until).await;
            let committed = world.with_database(|database| database.commit(transaction));
            world.note(format_args!("{transaction:?} of yesterday: {committed}"));
        });
    }
}

/// Whether nobody has a transaction open.
pub fn are_done(world: &World) -> bool {
    let snapshot = world.database.borrow().snapshot();
    world.is_calm.get() && snapshot.running.is_empty()
}

async fn publish(world: Rc<World>, number: usize, mut chance: Chance) {
    while !world.is_calm.get() {
        let pause = chance.span(0, world.scenario.publish_pause);
        world.executor.sleep(pause).await;
        if world.network.borrow().database_is_down {
            continue;
        }
        let transaction = world.with_database(Database::begin);
        let rows = chance.one_of(&[1, 1, 2, 8, 24]);
        for _ in 0..rows {
            let payment = format!("p{number}-{}", chance.below(PAYMENTS));
            world.with_database(|database| {
                let now = database.now();
                insert(&mut chance, &world, database, transaction, (now, &payment));
            });
            let pause = if chance.happens(0.02) {
                chance.span(500, 5_000)
            } else {
                Duration::from_micros(chance.between(1, 3_000))
            };
            world.executor.sleep(pause).await;
        }
        if chance.happens(0.1) {
            world.with_database(|database| database.roll_back(transaction));
            world.note(format_args!("{transaction:?} rolled back"));
        } else {
            let committed = world.with_database(|database| database.commit(transaction));
            world.note(format_args!(
                "{transaction:?} committed {rows}: {committed}"
            ));
        }
    }
}

/// `posthorn.publish`, of a payment at a time.
fn insert(
    chance: &mut Chance,
    world: &World,
    database: &mut Database,
    transaction: Transaction,
    (now, payment): (DateTime<Utc>, &str),
) {
    let mut event = event(chance, world, now, payment);
    let wishes = &world.scenario.wishes;
    if wishes.changes.is_some() {
        event.status = chance.one_of(&["approved", "approved", "settled"]).into();
    }
    if let Some(share) = wishes.addresses
        && chance.happens(share)
        && let Some(template_id) = template(database, &event)
    {
        let path = chance.one_of(&[None, Some("a"), Some("b")]);
        let url = path.map(|path| format!("https://{}.example/{payment}/{path}", event.merchant));
        let brought = Brought {
            id: id(now, chance.number()),
            xid: transaction.xid,
            template_id,
            merchant: event.merchant.clone(),
            transaction_id: payment.into(),
            url: url.map(Into::into),
            created_at: event.created_at,
            ended: false,
        };
        database.bring(transaction, brought);
    }
    database.insert(transaction, event);
}

fn template(database: &Database, event: &Event) -> Option<Uuid> {
    let mut of_all = database.subscriptions.values();
    let is_its =
        |it: &&Arc<Subscription>| it.scope == Scope::Transaction && *it.merchant == *event.merchant;
    Some(of_all.find(is_its)?.id)
}

fn event(chance: &mut Chance, world: &World, now: DateTime<Utc>, payment: &str) -> Event {
    let merchant_number = chance.below(world.scenario.merchants);
    let id = id(now, chance.number());
    Event {
        id,
        shard: shard(world, merchant_number),
        merchant: merchant(merchant_number).into(),
        kind: "payment.changed".into(),
        transaction_id: payment.into(),
        status: "approved".into(),
        data: format!("{{\"id\":\"{id}\"}}").into(),
        created_at: now,
    }
}

/// As `posthorn.uuid_v7`: milliseconds, twelve bits of their fraction, chance.
pub fn id(now: DateTime<Utc>, chance: u128) -> Uuid {
    let micros = u128::try_from(now.timestamp_micros()).unwrap();
    let (millis, fraction) = (micros / 1000, micros % 1000 * 4096 / 1000);
    let low = (chance & (u128::MAX >> 66)) | (2 << 62);
    Uuid::from_u128((millis << 80) | (7 << 76) | (fraction << 64) | low)
}
