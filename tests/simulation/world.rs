//! Everything of one run, and the run itself.

use std::cell::{Cell, RefCell};
use std::fmt::Arguments;
use std::rc::Rc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::database::{Database, Rules};
use crate::executor::{Executor, Process, WORLD};
use crate::invariants::{Books, PATIENCE, check_patience, missing};
use crate::link::Network;
use crate::receiver::Receiver;
use crate::scenario::{Chance, Scenario, Wishes};
use crate::trace::Trace;
use crate::{faults, operator, publisher, setting};

pub struct World {
    pub executor: Rc<Executor>,
    pub chance: RefCell<Chance>,
    pub scenario: Scenario,
    pub database: RefCell<Database>,
    pub network: RefCell<Network>,
    pub receiver: RefCell<Receiver>,
    pub books: RefCell<Books>,
    trace: RefCell<Trace>,
    /// Where every process's monotonic clock begins.
    origin: Instant,
    /// No more events, no more faults.
    pub is_calm: Cell<bool>,
    pub next_process: Cell<Process>,
}

/// How often it is looked at whether everything has ended.
const LOOK: Duration = Duration::from_millis(100);

/// What a run came to.
pub struct Outcome {
    pub digest: u64,
    pub events: usize,
    pub requests: usize,
    pub repeats: usize,
    pub faults: usize,
}

/// Runs a seed to its end: what it came to, or the first invariant that did not hold.
pub fn run(seed: u64, prints: bool) -> Result<Outcome, String> {
    // From a source of their own: what is no matter of them stays as it is.
    let wishes = Wishes::of(&mut Chance::of(!seed));
    let make = |chance: &mut Chance| Scenario {
        wishes,
        ..Scenario::of(chance)
    };
    run_as(make, seed, prints)
}

/// The same in a scenario of this make.
pub fn run_as(
    make: impl FnOnce(&mut Chance) -> Scenario,
    seed: u64,
    prints: bool,
) -> Result<Outcome, String> {
    let mut chance = Chance::of(seed);
    let scenario = make(&mut chance);
    let world = World::new(scenario, chance, prints);
    world.note(format_args!("{:?}", world.scenario));
    setting::subscribe(&world);
    publisher::start(&world);
    faults::start(&world);
    operator::start(&world);
    world.play()
}

impl World {
    fn new(scenario: Scenario, chance: Chance, prints: bool) -> Rc<Self> {
        // A day is about to be closed (`feed::floor`).
        let began: DateTime<Utc> = "2026-11-21T00:59:58Z".parse().unwrap();
        let mut database = Database::new(began, scenario.shards);
        database.rules = Rules::for_one_of(scenario.faults.refusals);
        Rc::new(Self {
            executor: Rc::default(),
            chance: RefCell::new(chance),
            database: RefCell::new(database),
            scenario,
            network: RefCell::default(),
            receiver: RefCell::default(),
            books: RefCell::default(),
            trace: RefCell::new(Trace::new(prints)),
            // Later than the machine's own start: nothing here subtracts more than a day.
            origin: Instant::now() + Duration::from_hours(24),
            is_calm: Cell::new(false),
            next_process: Cell::new(WORLD + 1),
        })
    }

    fn play(self: &Rc<Self>) -> Result<Outcome, String> {
        let mut calm_since = None;
        let mut look_at = Duration::ZERO;
        loop {
            let goes_on = self
                .executor
                .step(|ready| self.chance.borrow_mut().below(ready));
            if let Some(broken) = self.books.borrow_mut().broken.take() {
                return Err(broken);
            }
            faults::strike(self);
            let now = self.executor.now();
            if self.is_calm.get() {
                let since = *calm_since.get_or_insert(now);
                if now >= look_at {
                    look_at = now + LOOK;
                    if self.is_over() {
                        break;
                    }
                }
                if now > since + PATIENCE || !goes_on {
                    return Err(check_patience(&self.database.borrow()));
                }
            }
        }
        self.outcome()
    }

    fn is_over(&self) -> bool {
        let database = self.database.borrow();
        publisher::are_done(self)
            && database.replays.iter().all(|replay| replay.state.is_over())
            && database.pending.is_empty()
            && missing(&database).is_empty()
    }

    fn outcome(&self) -> Result<Outcome, String> {
        let books = self.books.borrow();
        let database = self.database.borrow();
        books.check_the_end(&database)?;
        Ok(Outcome {
            digest: self.trace.borrow().digest(),
            events: database.events.len(),
            requests: books.requests,
            repeats: books.repeats,
            faults: books.faults,
        })
    }

    /// Before each look at the database its clock is put right.
    pub fn with_database<T>(&self, work: impl FnOnce(&mut Database) -> T) -> T {
        let mut database = self.database.borrow_mut();
        database.elapsed = TimeDelta::from_std(self.executor.now()).unwrap();
        work(&mut database)
    }

    pub fn note(&self, what: Arguments<'_>) {
        let now = self.executor.now();
        self.trace.borrow_mut().note(now, what);
    }

    pub fn instant(&self, since_beginning: Duration) -> Instant {
        self.origin + since_beginning
    }
}
