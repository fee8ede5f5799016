//! A shard is a fixed slice of the merchants; an epoch numbers its owners.

use std::fmt;

/// A fixed slice of the merchants, `0..shard_count`. The database computes it
/// (`posthorn.shard_of(merchant)`), so that every writer and worker agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub i16);

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the owners that a shard has had. Every write of an owner names the
/// epoch under which it took the shard; the database refuses any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);
