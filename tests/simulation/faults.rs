//! What goes wrong, and when.

use std::rc::Rc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::executor::{Process, WORLD};
use crate::link::Cut;
use crate::scenario::Chance;
use crate::worker;
use crate::world::World;

/// A process that is to die after so many more steps of anyone: between any two of its own.
#[derive(Default)]
pub struct Doomed(Option<(Process, usize)>);

pub fn start(world: &Rc<World>) {
    for number in 0..world.scenario.workers {
        world
            .executor
            .spawn(WORLD, keep_running(Rc::clone(world), number));
    }
    let faults = world.scenario.faults.clone();
    let kinds: [(Option<Duration>, Fault); 5] = [
        (faults.stalls, Fault::Stall),
        (faults.cuts, Fault::Cut),
        (faults.database_crashes, Fault::DatabaseCrash),
        (faults.clock_steps, Fault::ClockStep),
        (faults.settings_change, Fault::Pause),
    ];
    for (every, fault) in kinds {
        if let Some(every) = every {
            let chance = world.chance.borrow_mut().split();
            let happening = happen(Rc::clone(world), every, fault, chance);
            world.executor.spawn(WORLD, happening);
        }
    }
    world.executor.spawn(WORLD, {
        let world = Rc::clone(world);
        async move {
            world.executor.sleep(world.scenario.lasts).await;
            world.note(format_args!("calm"));
            world.is_calm.set(true);
            world.receiver.borrow_mut().heal();
        }
    });
}

/// Kills whoever's time has come.
pub fn strike(world: &World) {
    let mut books = world.books.borrow_mut();
    let Some((process, left)) = books.doomed.0 else {
        return;
    };
    if left > 0 {
        books.doomed.0 = Some((process, left - 1));
        return;
    }
    books.doomed.0 = None;
    drop(books);
    world.executor.kill(process);
    world.note(format_args!("{process} is dead"));
}

/// One worker after another in this place: each ends by a crash or in order, and the next
/// one starts a while later.
async fn keep_running(world: Rc<World>, number: usize) {
    let mut chance = world.chance.borrow_mut().split();
    world.executor.sleep(chance.span(0, 2_000)).await;
    loop {
        let process = world.next_process.get();
        world.next_process.set(process + 1);
        let stop = worker::start(&world, process, &mut chance);
        world.note(format_args!("worker {number} is process {process}"));
        let lives = |every: Option<Duration>, chance: &mut Chance| {
            every.map_or(Duration::MAX, |every| every.mul_f64(chance.share() * 2.0))
        };
        let crash = lives(world.scenario.faults.crashes, &mut chance);
        let end = lives(world.scenario.faults.stops, &mut chance);
        let life = crash.min(end);
        let until = world.executor.now().saturating_add(life);
        if until >= world.scenario.lasts {
            return;
        }
        world.executor.sleep_until(until).await;
        world.books.borrow_mut().faults += 1;
        if crash < end {
            let steps = chance.below(300);
            world.books.borrow_mut().doomed = Doomed(Some((process, steps)));
        } else {
            world.note(format_args!("{process} is told to stop"));
            // It may have died already.
            let _ = stop.send(true);
            world.executor.sleep(chance.span(1_000, 15_000)).await;
            world.executor.kill(process);
        }
        world.executor.sleep(chance.span(10, 3_000)).await;
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Stall,
    Cut,
    DatabaseCrash,
    ClockStep,
    Pause,
}

async fn happen(world: Rc<World>, every: Duration, fault: Fault, mut chance: Chance) {
    loop {
        let pause = every.mul_f64(chance.share() * 2.0);
        world.executor.sleep(pause).await;
        if world.is_calm.get() {
            return;
        }
        world.books.borrow_mut().faults += 1;
        let newest = world.next_process.get();
        let process = newest.saturating_sub(1 + chance.below(world.scenario.workers));
        let lease = u64::try_from(world.scenario.lease.as_millis()).unwrap();
        let lasts = chance.span(10, lease * 2);
        match fault {
            Fault::Stall if process != WORLD => {
                world.note(format_args!("{process} stands still for {lasts:?}"));
                world.executor.stop(process);
                world.receiver.borrow_mut().forget(process);
                world.executor.sleep(lasts).await;
                world.receiver.borrow_mut().forget(process);
                world.executor.go_on(process);
                world.note(format_args!("{process} goes on"));
            }
            Fault::Cut if process != WORLD => {
                let how = chance.one_of(&[Cut::Hangs, Cut::Breaks]);
                world.note(format_args!("{process} is cut off, {how:?}, for {lasts:?}"));
                world.network.borrow_mut().cut(process, Some(how));
                world.executor.sleep(lasts).await;
                world.network.borrow_mut().cut(process, None);
                world.note(format_args!("{process} is connected again"));
            }
            Fault::Stall | Fault::Cut => {}
            Fault::DatabaseCrash => {
                world.note(format_args!("the database crashes"));
                world.network.borrow_mut().crash_database();
                let lost = chance.between(0, 5);
                world.with_database(|database| database.crash(lost));
                world.executor.sleep(chance.span(10, 2_000)).await;
                world.network.borrow_mut().database_is_down = false;
                world.note(format_args!("the database is back"));
            }
            Fault::ClockStep => {
                let step = TimeDelta::from_std(chance.span(0, 20_000)).unwrap();
                let step = if chance.happens(0.5) { step } else { -step };
                world.note(format_args!("the database's clock steps by {step}"));
                world.with_database(|database| database.stepped += step);
            }
            Fault::Pause => pause_one(&world, &mut chance).await,
        }
    }
}

/// Somebody pauses a subscription, and lets it go on.
async fn pause_one(world: &Rc<World>, chance: &mut Chance) {
    let ids: Vec<_> = {
        let database = world.database.borrow();
        database.subscriptions.keys().copied().collect()
    };
    let id = chance.one_of(&ids);
    for paused in [true, false] {
        world.note(format_args!("{id} is paused: {paused}"));
        world.with_database(|database| database.configure(id, |it| it.paused = paused));
        world.executor.sleep(chance.span(10, 2_000)).await;
    }
}
