//! How events come to be read.
