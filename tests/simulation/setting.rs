//! The merchants' subscriptions, and what their endpoints are like.

use std::rc::Rc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderName;
use posthorn::model::subscription::{Exit, IdentityHeaders, Locked, RequestForm, TlsSettings};
use posthorn::model::{
    Auth, Emit, Encoding, Method, Order, RetryPolicy, Schedule, Scope, Shard, Signing, Spelling,
    StatusRanges, Subscription, SuccessRule,
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
    ordinary(chance, self::merchant(merchant), shard, began)
}

/// A subscription with settings by chance, from before the first event.
pub fn ordinary(
    chance: &mut Chance,
    merchant: String,
    shard: Shard,
    began: DateTime<Utc>,
) -> Subscription {
    Subscription {
        id: Uuid::from_u128(chance.number()),
        merchant,
        name: "all".to_owned(),
        shard,
        revision: 1,
        created_at: began - TimeDelta::days(2),
        enabled: true,
        paused: false,
        unusable: None,
        scope: Scope::Merchant,
        kinds: None,
        statuses: None,
        emit: Emit::Every,
        form: RequestForm {
            url: Some("https://merchant.example/hook".parse().unwrap()),
            method: Method::Post,
            encoding: Encoding::Json,
            fields: None,
            nested: posthorn::model::subscription::Nested::Dotted,
            space: posthorn::model::subscription::Space::Plus,
            charset: posthorn::model::Charset::Utf8,
            says_charset: false,
            xml_root: "event".to_owned(),
            xml_illegal: posthorn::model::subscription::XmlIllegal::Replace,
            asks_for_identity: true,
            identity: IdentityHeaders {
                id: Some(HeaderName::from_static("webhook-id")),
                timestamp: None,
                attempt: Some(HeaderName::from_static("webhook-attempt")),
                spelling: Spelling::default(),
            },
            user_agent: None,
            fixed: Vec::new(),
        },
        auth: Auth::None,
        auth_previous: None,
        signing: Signing::None,
        unsent: Vec::new(),
        tls: TlsSettings::default(),
        exit: Exit::default(),
        success: SuccessRule {
            statuses: StatusRanges(vec![(200, 299)]),
            body: None,
            give_up: StatusRanges(vec![(404, 404)]),
            disable: StatusRanges::default(),
        },
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
        locked: Locked::default(),
    }
}
