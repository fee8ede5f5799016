//! Places in the flow where a test can have the process end, as kill -9 ends it.
//!
//! `POSTHORN_CRASH=after_commit:3` ends a debug build at the third pass of
//! [`Point::AfterCommit`]. A release build has none of this
//! (docs/decisions/0026-crash-points.md).

/// A place in the flow where what is in memory, on the wire and in the database differ most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Shards were taken, and nobody knows yet.
    ShardsTaken,
    /// Leases were renewed.
    LeaseRenewed,
    /// Shards are known to the dispatcher; nothing of them is read.
    Adopted,
    /// Events were read, and are in no lane.
    PageRead,
    /// A page is in the lanes.
    PageRouted,
    /// A request is about to go out.
    BeforeSend,
    /// The answer came, and nobody knows yet.
    AfterAnswer,
    /// A batch is about to be written.
    BeforeCommit,
    /// A batch was written, and the lanes do not know.
    AfterCommit,
    /// A delivery is about to be moved to the database.
    Spill,
    /// Rows came back from the database, and are in no lane.
    Refilled,
    /// A checkpoint is about to be written.
    BeforeCheckpoint,
    /// A checkpoint was written.
    AfterCheckpoint,
    /// A shard is drained; its last checkpoint is not written.
    Drained,
    /// The last checkpoint of a shard is written, and it is not released.
    BeforeRelease,
    /// A shard is released, and this worker does not know.
    AfterRelease,
}

impl Point {
    /// Every point, in the order of the flow.
    pub const ALL: [Self; 16] = [
        Self::ShardsTaken,
        Self::LeaseRenewed,
        Self::Adopted,
        Self::PageRead,
        Self::PageRouted,
        Self::BeforeSend,
        Self::AfterAnswer,
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::Spill,
        Self::Refilled,
        Self::BeforeCheckpoint,
        Self::AfterCheckpoint,
        Self::Drained,
        Self::BeforeRelease,
        Self::AfterRelease,
    ];

    /// The point's name in `POSTHORN_CRASH`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ShardsTaken => "shards_taken",
            Self::LeaseRenewed => "lease_renewed",
            Self::Adopted => "adopted",
            Self::PageRead => "page_read",
            Self::PageRouted => "page_routed",
            Self::BeforeSend => "before_send",
            Self::AfterAnswer => "after_answer",
            Self::BeforeCommit => "before_commit",
            Self::AfterCommit => "after_commit",
            Self::Spill => "spill",
            Self::Refilled => "refilled",
            Self::BeforeCheckpoint => "before_checkpoint",
            Self::AfterCheckpoint => "after_checkpoint",
            Self::Drained => "drained",
            Self::BeforeRelease => "before_release",
            Self::AfterRelease => "after_release",
        }
    }

    /// Notes that the flow comes by this point: the process ends here if it was told to.
    #[inline]
    pub fn pass(self) {
        #[cfg(debug_assertions)]
        armed::pass(self);
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Point;

    /// The point at which to end, and how many more passes until then.
    static FATAL: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let text = std::env::var("POSTHORN_CRASH").ok()?;
        let (name, passes) = text.split_once(':')?;
        Some((name.to_owned(), AtomicU32::new(passes.parse().ok()?)))
    });

    pub fn pass(point: Point) {
        if let Some((name, passes)) = &*FATAL
            && name == point.as_str()
            && passes.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // Nothing is flushed, dropped or said.
            std::process::abort();
        }
    }
}
