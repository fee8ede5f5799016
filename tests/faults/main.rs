//! What no fault may break: completeness, ownership, isolation. Real worker processes, real
//! PostgreSQL, one check at a time.

#![allow(clippy::too_many_lines, reason = "a test tells its whole story")]

#[path = "../support/mod.rs"]
mod support;

use support::rig;

mod another_cluster;
mod complete;
mod concurrency;
mod hostile;
mod isolation;
mod killed;
mod memory;
mod old_snapshot;
mod stopped;
mod unrecordable;
mod upgrading;
