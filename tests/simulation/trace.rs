//! What happened, in one number that two runs of a seed must agree in, and in words for
//! whoever looks into one.

use std::fmt::Arguments;
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

#[derive(Default)]
pub struct Trace {
    digest: DefaultHasher,
    prints: bool,
}

impl Trace {
    pub fn new(prints: bool) -> Self {
        Self {
            // Its keys are fixed.
            digest: DefaultHasher::new(),
            prints,
        }
    }

    pub fn note(&mut self, at: Duration, what: Arguments<'_>) {
        let line = format!("{:>10.6} {what}", at.as_secs_f64());
        self.digest.write(line.as_bytes());
        if self.prints {
            println!("{line}");
        }
    }

    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }
}
