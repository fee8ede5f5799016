//! `[worker]`: how one worker holds shards, reads windows and writes batches.

use std::time::Duration;

use super::document::Section;
use super::value;
use crate::model::settings::duration_text;

/// How a worker reads the log and records what it did: the section `[worker]`.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The name by which `posthorn.workers` knows this worker; the worker makes one up if absent.
    pub name: Option<String>,
    /// How long a shard stays with a worker that cannot renew.
    pub lease: Duration,
    /// How often the log is read while events come.
    pub poll_min: Duration,
    /// How seldom the log is read while no events come: each read without one waits a little
    /// longer, up to this.
    pub poll_max: Duration,
    /// The most events that one read of a window takes.
    pub page_rows: u32,
    /// How long a stopping worker waits for what is in the air.
    pub grace: Duration,
    /// The most bytes of an event's `data` that are sent.
    pub max_data_bytes: usize,
    /// How long a finished attempt waits at most for its batch to be written.
    pub flush_after: Duration,
    /// The most attempts in a batch.
    pub flush_rows: usize,
    /// How often checkpoints are written.
    pub checkpoint_every: Duration,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            name: None,
            lease: Duration::from_secs(10),
            poll_min: Duration::from_millis(5),
            poll_max: Duration::from_millis(40),
            page_rows: 1_000,
            grace: Duration::from_secs(30),
            max_data_bytes: 262_144,
            flush_after: Duration::from_millis(20),
            flush_rows: 1000,
            checkpoint_every: Duration::from_secs(1),
        }
    }
}

impl Worker {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        const MILLISECOND: Duration = Duration::from_millis(1);
        const SECOND: Duration = Duration::from_secs(1);
        const MINUTE: Duration = Duration::from_mins(1);
        let default = Self::default();
        let worker = Self {
            name: section.read("name", value::name),
            lease: section
                .duration("lease", SECOND..=10 * MINUTE)
                .unwrap_or(default.lease),
            poll_min: section
                .duration("poll_min", MILLISECOND..=MINUTE)
                .unwrap_or(default.poll_min),
            poll_max: section
                .duration("poll_max", MILLISECOND..=MINUTE)
                .unwrap_or(default.poll_max),
            page_rows: section
                .whole("page_rows", 1..=100_000)
                .unwrap_or(default.page_rows),
            grace: section
                .duration("grace", Duration::ZERO..=60 * MINUTE)
                .unwrap_or(default.grace),
            max_data_bytes: section
                .whole("max_data_bytes", 1..=1_048_576)
                .unwrap_or(default.max_data_bytes),
            flush_after: section
                .duration("flush_after", MILLISECOND..=SECOND)
                .unwrap_or(default.flush_after),
            flush_rows: section
                .whole("flush_rows", 1..=10_000)
                .unwrap_or(default.flush_rows),
            checkpoint_every: section
                .duration("checkpoint_every", 10 * MILLISECOND..=MINUTE)
                .unwrap_or(default.checkpoint_every),
        };
        if worker.poll_min > worker.poll_max {
            section.refuse(
                "poll_min",
                format!(
                    "{} is more than poll_max, {}; give at most that, or raise poll_max",
                    duration_text(&worker.poll_min),
                    duration_text(&worker.poll_max)
                ),
            );
        }
        worker
    }
}
