//! How events come to be read.

mod audited;
mod partitions;
mod settings;
mod turns;
