//! Posthorn from end to end: real worker processes, a real PostgreSQL, a real receiver,
//! and what a user would notice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed set-up fails the test"
)]

#[path = "../support/mod.rs"]
mod support;

mod configuration;
mod egress;
mod events;
mod grants;
mod privacy;
mod purge;
mod retries;
mod running;
mod schema;
mod tls;
mod wire;
