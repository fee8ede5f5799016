//! The gateway, asked as merchants, browsers and devices ask: real processes, a real
//! PostgreSQL, and clients that share no code with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]
#![allow(
    clippy::too_many_lines,
    reason = "a test tells its story from beginning to end"
)]

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod browser;
mod client;
mod clients;
mod connections;
mod feed;
mod limits;
mod others;
mod polling;
mod receiving;
mod role;
mod security_token;
mod sockets;
mod transactions;
mod wire;
