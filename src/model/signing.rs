//! How a receiver can check that a request comes from here and arrived as it was sent.

use std::fmt;
use std::sync::Arc;

use ring::hmac;
use ring::signature::Ed25519KeyPair;

/// How a subscription's requests are signed, with the keys.
#[derive(Clone)]
pub enum Signing {
    /// Requests are not signed.
    None,
    /// One signature of [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks)
    /// for each key, so that a receiver can change over at its own time.
    StandardWebhooks(Vec<SigningKey>),
    /// HMAC-SHA256 over a random key and the body (WIRE.md 3.5).
    SensepassHmac(Box<hmac::Key>),
}

/// A key of Standard Webhooks.
#[derive(Clone)]
pub enum SigningKey {
    /// The key of a `v1` signature: HMAC-SHA256.
    Symmetric(hmac::Key),
    /// The key of a `v1a` signature: ed25519.
    Asymmetric(Arc<Ed25519KeyPair>),
}

/// Names the scheme alone.
impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::StandardWebhooks(keys) => {
                write!(f, "StandardWebhooks({} keys, [redacted])", keys.len())
            }
            Self::SensepassHmac(_) => f.write_str("SensepassHmac([redacted])"),
        }
    }
}
