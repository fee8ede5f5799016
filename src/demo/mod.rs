//! Everything that lets a person, a test or a bench try Posthorn on a machine that
//! has nothing but the PostgreSQL binaries.
//!
//! `postgres` is for all of them. The rest is the demo: `stage` sets up a database, a
//! receiver and a worker, `script` says who plays, `publish` is the provider's
//! application, `board` notes what was committed and what arrived, `ledger` reads what
//! Posthorn says of it, `account` compares the two, and `table`, `report` and
//! `screen` show it.
//! `play` runs it from the first event to the last account.

pub mod postgres;

mod account;
mod board;
mod ledger;
mod payload;
pub mod play;
mod publish;
mod report;
mod screen;
mod script;
pub mod stage;
mod table;
