//! How events come to be read.

mod partitions;
