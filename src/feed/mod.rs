//! Feed: reads the windows of the shards that this worker owns.

pub mod floor;
pub mod keeper;
pub mod look_up;
pub mod merchants;
pub mod ownership;
pub mod poll;
pub mod progress;
pub mod reader;
mod unusable;
pub mod window;
