//! Real faults on the real thing: worker processes, PostgreSQL, a pooler and the network
//! between them are killed, stopped and cut while events are published. What the publisher
//! was told is committed must arrive, and end, once.
//!
//! `make chaos` runs it at full length and writes the table of docs/RELIABILITY.md.

mod account;
mod proxy;
#[path = "../support/mod.rs"]
mod support;
mod table;

use support::rig;

mod crash_points;
mod disk_full;
mod failover;
mod partition;
mod pooler;
mod postgres_kills;
mod stopped;
mod worker_kills;
