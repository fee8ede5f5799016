//! What an operator does: files, commands, logs and alerts.

mod large;
mod owners;
