//! The security token of a delivery (WIRE.md 5.7): a receiver shows it, and gets the
//! transaction's authentic values.

use std::fmt;

use ring::hmac;
use uuid::{Builder, Uuid};

/// The database's key for security tokens, which is the same for every worker and for whoever
/// answers the look-up.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl TokenKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token of an event for a subscription, the same at every attempt and replay. It has the
    /// form of a UUID of version 4, whose 122 bits nobody guesses without the key.
    #[must_use]
    pub fn token(&self, event_id: Uuid, subscription_id: Uuid) -> Uuid {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(event_id.as_bytes());
        context.update(subscription_id.as_bytes());
        let tag = context.sign();
        let mut bytes = [0; 16];
        for (byte, from) in bytes.iter_mut().zip(tag.as_ref()) {
            *byte = *from;
        }
        Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A seal that shows that bytes which come back from outside were written here. Its ninety-six
    /// bits are enough where each try is a request.
    #[must_use]
    pub fn seal(&self, bytes: &[u8]) -> [u8; 12] {
        let mut context = hmac::Context::with_key(&self.0);
        // Longer than the two ids of a token, so that no seal is one.
        context.update(b"posthorn: a position in the log: ");
        context.update(bytes);
        let tag = context.sign();
        let mut seal = [0; 12];
        for (byte, from) in seal.iter_mut().zip(tag.as_ref()) {
            *byte = *from;
        }
        seal
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against Python's `hmac`: a token must outlive any change of this code.
    #[test]
    fn a_token_is_an_hmac_in_the_form_of_a_uuid() {
        let (event, subscription) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let token = TokenKey::new(&[7; 32]).token(event, subscription);
        assert_eq!(token.to_string(), "0e0f5e01-88df-4d76-8e1c-2d3bc4713b6b");
        assert_eq!(token.get_version_num(), 4);
        assert_ne!(token, TokenKey::new(&[8; 32]).token(event, subscription));
        assert_ne!(token, TokenKey::new(&[7; 32]).token(subscription, event));
        assert_eq!(
            format!("{:?}", TokenKey::new(&[7; 32])),
            "TokenKey([redacted])"
        );
    }
}
