//! Databases that are made anew, go silent, change places, or are set up by other people's
//! rules.

mod anew;
mod away;
mod defaults;
mod encodings;
mod hosts;
mod name;
mod refusing;
