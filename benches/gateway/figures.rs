//! What the bench says.

use std::fmt;

use anyhow::Context;
use serde::Serialize;

#[derive(Debug, Default, Serialize)]
pub struct Figures {
    pub rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
pub struct Round {
    sockets: usize,
    polls: usize,
    /// Of the gateway's resident memory.
    bytes_per_client: u64,
    socket_p50_ms: f64,
    socket_p99_ms: f64,
    poll_p50_ms: f64,
    poll_p99_ms: f64,
    /// By the gateway, whatever for.
    queries_per_second: f64,
}

impl Round {
    /// Delays are in microseconds, ascending.
    pub fn of(
        clients: usize,
        bytes_per_client: u64,
        sockets: &[u64],
        polls: &[u64],
        queries_per_second: f64,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            sockets: clients,
            polls: clients,
            bytes_per_client,
            socket_p50_ms: percentile(sockets, 50)?,
            socket_p99_ms: percentile(sockets, 99)?,
            poll_p50_ms: percentile(polls, 50)?,
            poll_p99_ms: percentile(polls, 99)?,
            queries_per_second,
        })
    }
}

fn percentile(sorted_us: &[u64], percent: usize) -> anyhow::Result<f64> {
    let at = (sorted_us.len() * percent / 100).min(sorted_us.len().saturating_sub(1));
    let us = *sorted_us.get(at).context("no delays")?;
    Ok(us as f64 / 1_000.0)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>8} {:>8} {:>13} {:>21} {:>21} {:>10}",
            "sockets", "polls", "memory/client", "socket p50 / p99", "poll p50 / p99", "queries/s"
        )?;
        for round in &self.rounds {
            let delay = |p50: f64, p99: f64| format!("{p50:.1} / {p99:.1} ms");
            writeln!(
                f,
                "{:>8} {:>8} {:>9.1} KiB {:>21} {:>21} {:>10.1}",
                round.sockets,
                round.polls,
                round.bytes_per_client as f64 / 1_024.0,
                delay(round.socket_p50_ms, round.socket_p99_ms),
                delay(round.poll_p50_ms, round.poll_p99_ms),
                round.queries_per_second,
            )?;
        }
        Ok(())
    }
}
