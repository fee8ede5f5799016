//! What is really out there: receivers, name servers, databases, tables and hands that are not
//! like ours. Each test is a report from outside made small; docs/CONTRIBUTING.md says how the
//! next one is added.

#![allow(clippy::too_many_lines, reason = "a test tells its whole story")]
#![allow(
    clippy::disallowed_methods,
    reason = "the other sides have clocks of their own, and are slow where a report says so"
)]
#![allow(
    clippy::float_cmp,
    clippy::needless_pass_by_value,
    reason = "metrics count whole things, and what a test makes for one call it may give away"
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
