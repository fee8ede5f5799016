//! The gateway, asked as merchants, browsers and devices ask: real processes, a real
//! PostgreSQL, and clients that share no code with it.

#![allow(clippy::too_many_lines, reason = "a test tells its whole story")]

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
