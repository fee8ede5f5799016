//! Posthorn tells each merchant's systems about every committed status change.
//!
//! ```text
//! events ──feed──▶ route ──▶ lane ──▶ shape ──▶ send ──▶ judge ──▶ plan ──▶ record
//!  (SQL)   window   pure   memory   pure     HTTP    pure     pure    SQL, batched
//!                             ▲                                  │
//!                             └── refill ◀── pending_deliveries ◀┘  exceptions only
//! ```
//!
//! The rooms stand in the order of the flow. Start at [`worker::sending`]: one
//! delivery, from its request to what is recorded of it.
//!
//! This crate is the command `posthorn` and no library. What is `pub` here is for the tests, the
//! benches and the simulation, which step the same code as the worker, and may change at any time.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]

pub mod model;

pub mod dispatch;
pub mod feed;
pub mod flow;
pub mod judge;
pub mod mask;
pub mod plan;
pub mod record;
pub mod route;
pub mod send;
pub mod shape;

pub mod audit;
pub mod cli;
pub mod config;
pub mod crash;
pub mod demo;
pub mod http;
pub mod maintenance;
pub mod receiver;
pub mod store;
pub mod vault;
pub mod worker;

mod compare;
mod gateway;
mod start;
