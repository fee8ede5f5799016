//! What is really out there: receivers, name servers, databases, tables and hands that are not
//! like ours. Each test is a report from outside made small; docs/CONTRIBUTING.md says how the
//! next one is added.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod databases;
mod feed;
mod hands;
mod lanes;
mod names;
mod sources;
mod wire;
