//! How events come to be read.

mod audited;
mod days;
mod partitions;
mod settings;
mod turns;
