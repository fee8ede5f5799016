//! Feed: reads the windows of the shards that this worker owns.

mod catch_up;
pub mod floor;
mod hand_over;
pub mod keeper;
pub mod look_up;
pub mod ownership;
pub mod poll;
pub mod progress;
pub mod reader;
pub mod replay;
mod unusable;
pub mod window;
