//! The nouns of the design, without I/O: every other room speaks in these.

pub mod attempt;
pub mod delivery;
pub mod event;
pub mod pattern;
pub mod policy;
pub mod secret;
pub mod settings;
pub mod shard;
pub mod snapshot;
pub mod source;
pub mod subscription;

#[cfg(test)]
pub(crate) mod samples;

pub use attempt::{Answer, FailureClass, Judgement, Outcome, OutcomeClass, Verdict, Wire};
pub use delivery::{DeliveryKey, State};
pub use event::Event;
pub use pattern::Pattern;
pub use policy::{RetryPolicy, Schedule, StatusRanges, SuccessRule};
pub use settings::{Identity, Problem, Settings};
pub use shard::{Epoch, Shard};
pub use snapshot::Snapshot;
pub use source::Source;
pub use subscription::{Auth, Encoding, Field, Method, Order, Subscription};
