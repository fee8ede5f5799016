//! The commands, one file each.

pub mod receiver;
pub mod sandbox;
pub mod signals;
