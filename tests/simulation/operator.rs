//! People at work: they have deliveries made again, think better of it, disable subscriptions
//! for a while, and end addresses.

use std::rc::Rc;
use std::time::Duration;

use chrono::TimeDelta;
use posthorn::model::State;
use uuid::Uuid;

use crate::database::{Replay, ReplayState};
use crate::executor::WORLD;
use crate::publisher::id;
use crate::scenario::Chance;
use crate::setting::merchant;
use crate::world::World;

pub fn start(world: &Rc<World>) {
    let wishes = world.scenario.wishes.clone();
    if let Some(every) = wishes.replays {
        let chance = world.chance.borrow_mut().split();
        world
            .executor
            .spawn(WORLD, replay(Rc::clone(world), every, chance));
    }
    if let Some(every) = wishes.disabled {
        let chance = world.chance.borrow_mut().split();
        world
            .executor
            .spawn(WORLD, disable(Rc::clone(world), every, chance));
    }
    if let Some(every) = wishes.ends {
        let chance = world.chance.borrow_mut().split();
        world
            .executor
            .spawn(WORLD, end_addresses(Rc::clone(world), every, chance));
    }
}

/// One after another: each is left alone, cancelled, or paused for a while.
async fn replay(world: Rc<World>, every: Duration, mut chance: Chance) {
    loop {
        let pause = every.mul_f64(chance.share() * 2.0);
        world.executor.sleep(pause).await;
        if world.is_calm.get() {
            return;
        }
        let id = ask_for_replay(&world, &mut chance);
        let most = chance.one_of(&[100, 400, 1_500]);
        world.executor.sleep(chance.span(5, most)).await;
        let states: &[ReplayState] = match chance.below(5) {
            0 => &[],
            1 => &[ReplayState::Paused, ReplayState::Running],
            2 => &[ReplayState::Paused, ReplayState::Cancelling],
            _ => &[ReplayState::Cancelling],
        };
        for state in states {
            let may = world.with_database(|database| database.steer_replay(id, *state));
            world.note(format_args!("replay {id} is to be {state:?}: {may}"));
            world.executor.sleep(chance.span(5, 1_000)).await;
        }
    }
}

/// What was published a moment ago, of a merchant, one of its subscriptions, or a payment.
fn ask_for_replay(world: &World, chance: &mut Chance) -> Uuid {
    let merchant = merchant(chance.below(world.scenario.merchants));
    let states = chance.one_of(&[
        &[State::Delivered, State::PostingError, State::Cancelled][..],
        &[State::Delivered, State::Superseded],
        &[State::PostingError, State::Superseded],
    ]);
    let narrow = chance.below(3);
    let ago = TimeDelta::from_std(chance.span(100, 1_500)).unwrap();
    let rate = chance.one_of(&[50.0, 200.0, 1_000.0]);
    let number = chance.number();
    let choice = chance.number();
    let replay = world.with_database(|database| {
        let now = database.now();
        let its_own = database.subscriptions.values();
        let its_own: Vec<Uuid> = its_own
            .filter(|it| it.merchant == merchant)
            .map(|it| it.id)
            .collect();
        let one = usize::try_from(choice % its_own.len() as u128).unwrap();
        let payments = database.events.iter();
        let mut payments = payments.filter(|stored| *stored.event.merchant == *merchant);
        let payment = payments.next_back();
        let payment = payment.map(|stored| stored.event.transaction_id.clone());
        let replay = Replay {
            id: id(now, number),
            state: ReplayState::Running,
            merchant: Some(merchant.into()),
            subscription_id: (narrow == 1).then(|| its_own[one]),
            transaction_id: payment.filter(|_| narrow == 2),
            states: states.to_vec(),
            rate,
            after: (floor(id(now - ago, 0)), Uuid::nil()),
            beyond: floor(id(now, 0)),
            next_at: now,
            opened: 0,
        };
        database.open_replay(replay.clone());
        replay
    });
    world.note(format_args!("{replay:?} is asked for"));
    replay.id
}

/// `posthorn.uuid_floor`: the first id of a millisecond.
fn floor(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() >> 80 << 80)
}

/// Somebody disables a subscription, and enables it again.
async fn disable(world: Rc<World>, every: Duration, mut chance: Chance) {
    loop {
        let pause = every.mul_f64(chance.share() * 2.0);
        world.executor.sleep(pause).await;
        if world.is_calm.get() {
            return;
        }
        let ids: Vec<Uuid> = {
            let database = world.database.borrow();
            database.subscriptions.keys().copied().collect()
        };
        let id = chance.one_of(&ids);
        for enabled in [false, true] {
            world.note(format_args!("{id} is enabled: {enabled}"));
            world.with_database(|database| database.configure(id, |it| it.enabled = enabled));
            world.executor.sleep(chance.span(10, 2_000)).await;
        }
    }
}

async fn end_addresses(world: Rc<World>, every: Duration, mut chance: Chance) {
    loop {
        let pause = every.mul_f64(chance.share() * 2.0);
        world.executor.sleep(pause).await;
        if world.is_calm.get() {
            return;
        }
        world.with_database(|database| {
            let committed = database.brought.values();
            let committed = committed.filter(|it| database.is_committed(it.xid));
            let ids: Vec<Uuid> = committed.map(|it| it.id).collect();
            if !ids.is_empty() {
                let id = chance.one_of(&ids);
                let ended = database.end_by_hand(id);
                world.note(format_args!("the address {id} is ended: {ended}"));
            }
        });
    }
}
