//! Posthorn from end to end: real worker processes, a real PostgreSQL, a real receiver,
//! and what a user would notice.

#![allow(clippy::too_many_lines, reason = "a test tells its whole story")]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod choosing;
mod config_as_code;
mod configuration;
mod credentials_in_urls;
mod deliveries;
mod echoes;
mod egress;
mod events;
mod evidence;
mod given_up;
mod grants;
mod installing;
mod late_batch;
mod oauth2;
mod plans;
mod privacy;
mod purge;
mod render;
mod replay;
mod retention;
mod retries;
mod rights;
mod rotation;
mod running;
mod schema;
mod seals;
mod secrets;
mod source;
mod status;
mod steps;
mod systems;
mod tls;
mod transactions;
mod very_many;
mod wire;
