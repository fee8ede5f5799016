//! The nouns of the design, without I/O: every other room speaks in these.

pub mod attempt;
pub mod change;
pub mod charset;
pub mod client_identity;
pub mod cluster;
pub mod declaration;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod field;
mod one_line;
pub mod pattern;
pub mod policy;
pub mod seal;
pub mod secret;
pub mod settings;
pub mod shard;
pub mod signing;
pub mod snapshot;
pub mod source;
pub mod spelling;
pub mod subscription;
pub mod token;

#[cfg(test)]
pub(crate) mod samples;

pub use attempt::{
    Answer, FailureClass, Judgement, Outcome, OutcomeClass, Peer, Sent, TlsVersion, Verdict, Wire,
};
pub use charset::Charset;
pub use delivery::{DeliveryKey, State};
pub use endpoint::Endpoint;
pub use event::Event;
pub use field::{Decimals, Field, FieldSource, OmitWhen, Step};
pub use one_line::OneLine;
pub use pattern::Pattern;
pub use policy::{RetryPolicy, Schedule, StatusRanges, SuccessRule};
pub use settings::{Identity, Problem, Settings};
pub use shard::{Epoch, Shard};
pub use signing::{Signing, SigningKey};
pub use snapshot::Snapshot;
pub use source::Source;
pub use spelling::Spelling;
pub use subscription::{Auth, Credential, Emit, Encoding, Method, Order, Scope, Subscription};
pub use token::TokenKey;
