//! The delivery core in a simulated world: many workers, one database, virtual time, and
//! everything that can go wrong, by chance, from one seed.
//!
//!     make simulate SEEDS=10000        seeds 0 to 9999
//!     make simulate SEED=4711          one, with everything that happens in it
//!
//! What runs here is the real `route`, `dispatch` (lanes, shelves, breakers), `feed`
//! (keeper and ownership, reader, windows, progress, look-ups), `record`, `shape`, `judge` and
//! `plan`; who does their errands is played, and so is the database (`worker`, `database`).

#![allow(clippy::too_many_lines, reason = "a test tells its whole story")]

mod agreement;
mod database;
mod executor;
mod faults;
mod invariants;
mod link;
mod operator;
mod publisher;
mod receiver;
mod scenario;
mod setting;
#[path = "../support/mod.rs"]
mod support;
mod trace;
mod wanted;
mod worker;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use scenario::Scenario;
use world::{Outcome, run, run_as};

/// How many seeds a run of all tests takes.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text}: give a whole number")),
    )
}

#[test]
fn the_invariants_hold_for_every_seed() {
    if let Some(seed) = number("SEED") {
        let outcome = run(seed, true).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        println!("seed {seed}: digest {:016x}", outcome.digest);
        return;
    }
    let first = number("START").unwrap_or(0);
    let count = number("SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<(u64, Result<Outcome, String>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut results = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= first + count {
                            return results;
                        }
                        let run = std::panic::catch_unwind(|| run(seed, false));
                        let run = run.unwrap_or_else(|_| Err("it panicked".to_owned()));
                        results.push((seed, run));
                    }
                })
            })
            .collect();
        let finished = workers.into_iter().map(|worker| worker.join().unwrap());
        finished.flatten().collect()
    });
    let mut failed: Vec<_> = results
        .iter()
        .filter_map(|(seed, result)| Some((seed, result.as_ref().err()?)))
        .collect();
    failed.sort();
    for (seed, broken) in failed.iter().take(20) {
        println!("seed {seed}: {broken}");
    }
    let runs = || {
        results
            .iter()
            .filter_map(|(_, result)| result.as_ref().ok())
    };
    let sum = |of: fn(&Outcome) -> usize| runs().map(of).sum::<usize>();
    let took = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
    let rate = count as f64 / took;
    println!(
        "{count} seeds from {first} in {took:.1} s ({rate:.0} a second): {} events, {} requests, \
         {} of them repeats, {} faults",
        sum(|run| run.events),
        sum(|run| run.requests),
        sum(|run| run.repeats),
        sum(|run| run.faults),
    );
    assert!(
        failed.is_empty(),
        "{} of {count} seeds failed; look at one by: make simulate SEED={}",
        failed.len(),
        failed[0].0
    );
}

/// A statement that hangs for half a lease costs none: lost shards would be sent for again.
#[test]
fn a_slow_database_repeats_nothing() {
    for seed in 0..50 {
        let outcome = run_as(Scenario::sluggish, seed, false);
        let outcome = outcome.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        assert_eq!(outcome.repeats, 0, "seed {seed}");
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 0..10 {
        let digest = || run(seed, false).map(|outcome| outcome.digest);
        assert_eq!(digest(), digest(), "seed {seed}");
    }
}
