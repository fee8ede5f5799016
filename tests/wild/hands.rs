//! What an operator does: files, commands, logs and alerts.

mod commands;
mod large;
mod lines;
mod logs;
mod owners;
mod unusable;
