//! Whether this worker can deliver just now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process is ready: set by its loops, read by `/readyz`. A new worker is not ready:
/// it owns nothing and has not heard from the database.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Signs>);

#[derive(Debug, Default)]
struct Signs {
    owns_shards: AtomicBool,
    database: AtomicBool,
}

impl Health {
    /// The health of a new worker.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The health of a new gateway, which owns no shards and needs none.
    #[must_use]
    pub fn without_shards() -> Self {
        let health = Self::new();
        health.set_owns_shards(true);
        health
    }

    /// Notes whether the worker owns any shard.
    pub fn set_owns_shards(&self, owns: bool) {
        self.0.owns_shards.store(owns, Ordering::Relaxed);
    }

    /// Notes whether the database answered when it was last asked.
    pub fn set_database(&self, answers: bool) {
        self.0.database.store(answers, Ordering::Relaxed);
    }

    /// Whether the process is ready; the error names each thing that is missing.
    pub fn is_ready(&self) -> Result<(), Vec<&'static str>> {
        let missing: Vec<_> = [
            (&self.0.owns_shards, "this worker owns no shard"),
            (&self.0.database, "the database does not answer"),
        ]
        .into_iter()
        .filter(|(sign, _)| !sign.load(Ordering::Relaxed))
        .map(|(_, reason)| reason)
        .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn ready_means_a_shard_and_a_database() {
        const SHARD: &str = "this worker owns no shard";
        const DATABASE: &str = "the database does not answer";
        for (owns, answers, expected) in [
            (true, true, Ok(())),
            (false, true, Err(vec![SHARD])),
            (true, false, Err(vec![DATABASE])),
            (false, false, Err(vec![SHARD, DATABASE])),
        ] {
            let health = Health::new();
            health.set_owns_shards(owns);
            health.set_database(answers);
            assert_eq!(health.is_ready(), expected);
        }
        assert!(Health::new().is_ready().is_err());
    }
}
