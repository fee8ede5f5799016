//! From commit to arrival, at a fixed rate.
//!
//! From the return of the publisher's COMMIT to the arrival of the request at the receiver.
//! A request can arrive before the publisher has heard of its commit: that is a latency of
//! zero.

use anyhow::{Context, ensure};

use super::publisher::{self, Commits};
use super::receiver::Arrivals;
use super::stand::Stand;
use super::worker::Worker;

/// What is published, for a while that does not count and one that does.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Events a second.
    pub rate: u32,
    /// Seconds.
    pub warm_up: u32,
    pub seconds: u32,
    pub first_merchant: u32,
    pub merchants: u32,
}

impl Load {
    /// Publishes, waits until the worker has recorded everything that was ever published,
    /// and returns the commits that count.
    pub async fn run(
        self,
        stand: &Stand,
        worker: &Worker,
        published: &mut usize,
    ) -> anyhow::Result<Commits> {
        let events = (self.rate * (self.warm_up + self.seconds)) as usize;
        let load = publisher::Args {
            url: stand.url(),
            rate: self.rate,
            first: *published,
            events,
            first_merchant: self.first_merchant,
            merchants: self.merchants,
        };
        let mut commits = load.publish().await?;
        let counts_from = *published + (self.rate * self.warm_up) as usize;
        *published += events;
        worker.wait_until_recorded(*published).await?;
        commits.retain(|&(number, _)| number >= counts_from);
        Ok(commits)
    }
}

/// In milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    pub fn of(commits: &Commits, arrivals: &Arrivals) -> anyhow::Result<Self> {
        let mut us = Vec::with_capacity(commits.len());
        for (number, committed) in commits {
            let arrived = arrivals.get(number).context("an event did not arrive")?;
            us.push(arrived.saturating_sub(*committed));
        }
        ensure!(!us.is_empty(), "nothing was measured");
        us.sort_unstable();
        let ms = |place: usize| us[place] as f64 / 1000.0;
        Ok(Self {
            p50: ms((us.len() - 1) / 2),
            p99: ms((us.len() - 1) * 99 / 100),
            max: ms(us.len() - 1),
        })
    }
}
