//! Feed: reads the windows of the shards that this worker owns.

mod catch_up;
pub mod checkpoint;
pub mod floor;
pub mod keeper;
pub mod lease;
mod look_up;
pub mod ownership;
pub mod poll;
pub mod reader;
pub mod window;
