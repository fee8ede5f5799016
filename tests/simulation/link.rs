//! The way from a process to the database: statements take time, answers get lost, and a
//! statement that was sent is executed whatever becomes of who sent it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::database::{Database, Plan};
use crate::executor::{Process, WORLD};
use crate::world::World;

/// The database did not answer, or not in time. Nothing is known of the statement's fate.
#[derive(Debug)]
pub struct Away;

impl From<Away> for posthorn::flow::Away {
    fn from(_: Away) -> Self {
        Self("no answer".to_owned())
    }
}

/// A new connection is refused, or an old one found broken, after so long.
const REFUSED: Duration = Duration::from_millis(2);

/// The longest from a statement's list of partitions to its snapshot, microseconds.
const PLANNING: u64 = 1_000;

#[derive(Default)]
pub struct Network {
    /// Whose connections are cut, and how.
    cut: BTreeMap<Process, Cut>,
    pub database_is_down: bool,
    /// Counts its crashes: a statement from before one gets no answer.
    crashes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Packets vanish.
    Hangs,
    /// Connections are reset.
    Breaks,
}

impl Network {
    pub fn cut(&mut self, process: Process, how: Option<Cut>) {
        match how {
            Some(how) => self.cut.insert(process, how),
            None => self.cut.remove(&process),
        };
    }

    pub fn crash_database(&mut self) {
        self.database_is_down = true;
        self.crashes += 1;
    }

    fn way(&self, process: Process) -> Result<(), Cut> {
        match self.cut.get(&process) {
            Some(cut) => Err(*cut),
            None if self.database_is_down => Err(Cut::Breaks),
            None => Ok(()),
        }
    }
}

/// Has a statement executed; `deadline` is the client's patience.
pub async fn ask<T: 'static>(
    world: &Rc<World>,
    process: Process,
    what: &'static str,
    deadline: Duration,
    statement: impl FnOnce(&mut Database) -> T + 'static,
) -> Result<T, Away> {
    let at_once = async move |world: Rc<World>| world.with_database(statement);
    send(world, process, what, deadline, at_once).await
}

/// Has a statement executed that reads the log: it is planned first, with the partitions that
/// there are then, and has its snapshot a little later.
pub async fn ask_the_log<T: 'static>(
    world: &Rc<World>,
    process: Process,
    what: &'static str,
    deadline: Duration,
    statement: impl FnOnce(&mut Database, &Plan) -> T + 'static,
) -> Result<T, Away> {
    let planned = async move |world: Rc<World>| {
        let plan = world.with_database(Database::plan);
        let pause = Duration::from_micros(world.chance.borrow_mut().between(1, PLANNING));
        world.executor.sleep(pause).await;
        world.with_database(|database| statement(database, &plan))
    };
    send(world, process, what, deadline, planned).await
}

async fn send<T: 'static>(
    world: &Rc<World>,
    process: Process,
    what: &'static str,
    deadline: Duration,
    statement: impl AsyncFnOnce(Rc<World>) -> T + 'static,
) -> Result<T, Away> {
    let (answer, answered) = oneshot::channel();
    world.executor.spawn(WORLD, {
        let world = Rc::clone(world);
        async move {
            if let Some(result) = execute(&world, process, what, statement).await {
                // The client may be dead, or have given up.
                let _ = answer.send(result);
            }
        }
    });
    tokio::select! {
        biased;
        result = answered => result.map_err(|_| Away)?,
        () = world.executor.sleep(deadline) => Err(Away),
    }
}

/// None: no answer ever comes.
async fn execute<T>(
    world: &Rc<World>,
    process: Process,
    what: &'static str,
    statement: impl AsyncFnOnce(Rc<World>) -> T,
) -> Option<Result<T, Away>> {
    let (there, back) = delays(world);
    world.executor.sleep(there).await;
    let crashes = world.network.borrow().crashes;
    let way = world.network.borrow().way(process);
    if let Err(cut) = way {
        return lost(world, cut).await;
    }
    world.note(format_args!("{process} {what}"));
    let result = statement(Rc::clone(world)).await;
    world.executor.sleep(back).await;
    let way = world.network.borrow().way(process);
    if world.network.borrow().crashes > crashes {
        return lost(world, Cut::Breaks).await;
    }
    match way {
        Ok(()) => Some(Ok(result)),
        Err(cut) => lost(world, cut).await,
    }
}

async fn lost<T>(world: &Rc<World>, cut: Cut) -> Option<Result<T, Away>> {
    match cut {
        Cut::Hangs => None,
        Cut::Breaks => {
            world.executor.sleep(REFUSED).await;
            Some(Err(Away))
        }
    }
}

fn delays(world: &World) -> (Duration, Duration) {
    let mut chance = world.chance.borrow_mut();
    let slow = world.scenario.faults.slow_statements;
    let slow = slow.filter(|_| !world.is_calm.get());
    let mut delay = || {
        if let Some(slow) = slow
            && chance.happens(slow.share)
        {
            chance.span(slow.from, slow.to)
        } else {
            Duration::from_micros(chance.between(50, 2_000))
        }
    };
    (delay(), delay())
}
