//! Tables, triggers and sessions of applications.

mod extensions;
mod mutes;
mod order;
mod payloads;
mod publishing;
mod sessions;
mod silence;
