//! Tables, triggers and sessions of applications.

mod comparing;
mod extensions;
mod mutes;
mod order;
mod payloads;
mod publishing;
mod sessions;
mod silence;
