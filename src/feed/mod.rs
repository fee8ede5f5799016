//! Feed: reads the windows of the shards that this worker owns.

pub mod checkpoint;
pub mod floor;
pub mod ownership;
pub mod poll;
pub mod window;
