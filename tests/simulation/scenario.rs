//! What one run is like: all of it follows from the seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// Chance, as it falls for this seed.
pub struct Chance(StdRng);

impl Chance {
    pub fn of(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Another source, so that one part of the run does not change another.
    pub fn split(&mut self) -> Self {
        Self(StdRng::seed_from_u64(self.0.random()))
    }

    pub fn below(&mut self, most: usize) -> usize {
        self.0.random_range(0..most.max(1))
    }

    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        self.0.random_range(from..=to)
    }

    /// Milliseconds.
    pub fn span(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.between(from * 1000, to * 1000))
    }

    pub fn happens(&mut self, probability: f64) -> bool {
        self.0.random_bool(probability)
    }

    pub fn share(&mut self) -> f64 {
        self.0.random()
    }

    pub fn number(&mut self) -> u128 {
        self.0.random()
    }

    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.0).expect("there are some")
    }
}

/// The make-up of a run. Sizes are small, so that every limit is met often.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub workers: usize,
    pub shards: i16,
    pub merchants: usize,
    pub publishers: usize,
    pub lease: Duration,
    pub page_rows: u32,
    pub flush_rows: usize,
    pub checkpoint_every: Duration,
    pub spill_after: Duration,
    pub memory_deliveries: usize,
    pub max_in_flight_total: usize,
    pub grace: Duration,
    /// Between two transactions of a publisher, milliseconds at most.
    pub publish_pause: u64,
    /// How long events are published and faults happen.
    pub lasts: Duration,
    pub faults: Faults,
    pub wishes: Wishes,
}

/// What merchants and people want beyond every event of a merchant, once.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The share of the subscriptions that want only what changes a payment's status.
    pub changes: Option<f64>,
    /// The share of the events whose transaction brings an address of its own.
    pub addresses: Option<f64>,
    /// Between two ends of an address by somebody's hand.
    pub ends: Option<Duration>,
    /// Between two times that a subscription is disabled for a while.
    pub disabled: Option<Duration>,
    /// Between two replays.
    pub replays: Option<Duration>,
}

/// Which faults the run has, each as its mean time between two, if any.
#[derive(Clone, Debug)]
pub struct Faults {
    pub crashes: Option<Duration>,
    /// Orderly stops.
    pub stops: Option<Duration>,
    /// SIGSTOP, for up to two leases.
    pub stalls: Option<Duration>,
    /// One worker's connections to the database hang or break.
    pub cuts: Option<Duration>,
    pub database_crashes: Option<Duration>,
    /// Of the database's clock, to either side.
    pub clock_steps: Option<Duration>,
    pub slow_statements: Option<Slow>,
    /// How far a worker's clock runs fast or slow at most.
    pub drift: f64,
    pub settings_change: Option<Duration>,
    /// Of so many deliveries the database refuses to record one in some way.
    pub refusals: Option<u128>,
}

/// Statements that take long, on their way there or back.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    pub share: f64,
    /// Milliseconds, each way.
    pub from: u64,
    pub to: u64,
}

impl Scenario {
    pub fn of(chance: &mut Chance) -> Self {
        let lasts = Duration::from_secs(chance.between(3, 8));
        Self {
            workers: chance.one_of(&[1, 2, 2, 3, 4]),
            shards: chance.one_of(&[1, 2, 3, 5]),
            merchants: chance.one_of(&[1, 2, 4, 6]),
            publishers: chance.one_of(&[1, 2, 4]),
            lease: chance.one_of(&[1000, 2000, 3000].map(Duration::from_millis)),
            page_rows: chance.one_of(&[1, 2, 3, 7, 50]),
            flush_rows: chance.one_of(&[3, 10, 100]),
            checkpoint_every: chance.one_of(&[100, 300, 1000].map(Duration::from_millis)),
            spill_after: chance.one_of(&[50, 200, 1000].map(Duration::from_millis)),
            memory_deliveries: chance.one_of(&[3, 10, 30, 1000]),
            max_in_flight_total: chance.one_of(&[2, 8, 100]),
            grace: chance.one_of(&[100, 1000, 3000].map(Duration::from_millis)),
            publish_pause: chance.one_of(&[20, 100, 300]),
            lasts,
            faults: Faults::of(chance),
            wishes: Wishes::default(),
        }
    }

    /// One worker, and a database that works and is slow.
    pub fn sluggish(chance: &mut Chance) -> Self {
        let of = Self::of(chance);
        Self {
            workers: 1,
            faults: Faults::sluggish(of.lease),
            ..of
        }
    }
}

impl Wishes {
    /// Half of all runs have none, and go as fast as ever.
    pub fn of(chance: &mut Chance) -> Self {
        let mut wish = |probability: f64| chance.happens(probability);
        let (any, changes, addresses, replays) = (wish(0.5), wish(0.5), wish(0.5), wish(0.5));
        if !any {
            return Self::default();
        }
        let share = chance.one_of(&[0.05, 0.3]);
        let often = chance.one_of(&[300, 1_000].map(Duration::from_millis));
        Self {
            changes: changes.then_some(0.5),
            addresses: addresses.then_some(share),
            ends: (addresses && chance.happens(0.5)).then_some(often),
            disabled: chance.happens(0.3).then_some(often * 2),
            replays: replays.then_some(often),
        }
    }
}

impl Faults {
    /// Half of the statements take up to half a lease, and nothing else goes wrong.
    fn sluggish(lease: Duration) -> Self {
        let each_way = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX) / 4;
        Self {
            crashes: None,
            stops: None,
            stalls: None,
            cuts: None,
            database_crashes: None,
            clock_steps: None,
            slow_statements: Some(Slow {
                share: 0.3,
                from: each_way / 2,
                to: each_way,
            }),
            drift: 0.0,
            settings_change: None,
            refusals: None,
        }
    }

    fn of(chance: &mut Chance) -> Self {
        let mut every = |probability: f64, seconds: u64| {
            chance
                .happens(probability)
                .then(|| Duration::from_secs(seconds))
        };
        Self {
            crashes: every(0.5, 3),
            stops: every(0.3, 4),
            stalls: every(0.3, 5),
            cuts: every(0.3, 4),
            database_crashes: every(0.2, 6),
            clock_steps: every(0.1, 5),
            slow_statements: every(0.3, 1).map(|_| Slow {
                share: 0.002,
                from: 500,
                to: 15_000,
            }),
            drift: 0.02,
            settings_change: every(0.2, 2),
            refusals: every(0.2, 1).map(|_| 15),
        }
    }
}
