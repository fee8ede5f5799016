//! The merchants' subscriptions, and what their endpoints are like.

use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::model::secret::{SecretError, SecretRef};
use posthorn::model::settings::resolve;
use posthorn::model::{
    Emit, Identity, Order, RetryPolicy, Schedule, Scope, Settings, Shard, StatusRanges,
    Subscription,
};
use uuid::Uuid;

use crate::receiver::Manner;
use crate::scenario::{Chance, Wishes};
use crate::world::World;

pub fn merchant(number: usize) -> String {
    format!("m{number}")
}

pub fn shard(world: &World, merchant: usize) -> Shard {
    let number = i16::try_from(merchant).unwrap();
    Shard(number % world.scenario.shards)
}

pub fn subscribe(world: &Rc<World>) {
    let Wishes {
        changes, addresses, ..
    } = world.scenario.wishes;
    for merchant in 0..world.scenario.merchants {
        let count = world.chance.borrow_mut().between(1, 2);
        for _ in 0..count {
            let mut chance = world.chance.borrow_mut();
            let mut subscription = subscription(&mut chance, world, merchant);
            if changes.is_some_and(|share| chance.happens(share)) {
                subscription.emit = Emit::Change;
            }
            let manner = Manner::of(&mut chance);
            drop(chance);
            add(world, subscription, manner);
        }
        if addresses.is_some() {
            let mut chance = world.chance.borrow_mut();
            let mut template = subscription(&mut chance, world, merchant);
            template.scope = Scope::Transaction;
            template.success.disable = StatusRanges(vec![(410, 410)]);
            if changes.is_some_and(|share| chance.happens(share)) {
                template.emit = Emit::Change;
            }
            let manner = Manner::of(&mut chance).with_ends(&mut chance);
            drop(chance);
            add(world, template, manner);
        }
    }
}

fn add(world: &Rc<World>, subscription: Subscription, manner: Manner) {
    world.note(format_args!(
        "{} of {}: {manner:?}, in flight {}, {:?}, supersede {}, {:?}, {:?}",
        subscription.id,
        subscription.merchant,
        subscription.max_in_flight,
        subscription.order,
        subscription.supersede,
        subscription.scope,
        subscription.emit
    ));
    world.receiver.borrow_mut().open(subscription.id, manner);
    world.with_database(|database| database.subscribe(subscription));
}

fn subscription(chance: &mut Chance, world: &World, merchant: usize) -> Subscription {
    let began = world.database.borrow().began;
    let shard = shard(world, merchant);
    ordinary(chance, &self::merchant(merchant), shard, began)
}

/// A subscription with settings by chance, from before the first event.
pub fn ordinary(
    chance: &mut Chance,
    merchant: &str,
    shard: Shard,
    began: DateTime<Utc>,
) -> Subscription {
    let identity = Identity {
        id: Uuid::from_u128(chance.number()),
        shard,
        revision: 1,
        created_at: began - TimeDelta::days(2),
        ..Identity::unwritten(merchant, "all")
    };
    let settings = Settings {
        url: Some("https://merchant.example/hook".to_owned()),
        timestamp_header: Some("none".to_owned()),
        give_up_statuses: Some(vec!["404".to_owned()]),
        ..Settings::default()
    };
    let no_secrets = |from: &SecretRef| Err(SecretError::OutOfReach(from.clone()));
    let plain = resolve(identity, &settings, &no_secrets).unwrap();
    Subscription {
        retry: RetryPolicy {
            schedule: Schedule::Exponential {
                interval: chance.span(20, 500),
                factor: 1.5,
                jitter: 0.2,
            },
            max_attempts: chance.one_of(&[None, None, Some(2), Some(5)]),
            max_age: None,
            cap: Duration::from_secs(3),
            honour_retry_after: true,
        },
        timeout: chance.one_of(&[500, 2_000].map(Duration::from_millis)),
        connect_timeout: Duration::from_secs(1),
        max_in_flight: chance.one_of(&[1, 1, 2, 3, 10]),
        rate: chance.one_of(&[None, None, None, Some(20.0)]),
        order: chance.one_of(&[Order::None, Order::Transaction]),
        supersede: chance.happens(0.25),
        ..plain
    }
}
