//! The keys that seal and open.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hmac;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// The length of a key in bytes, as AES-256 has it.
const KEY_BYTES: usize = 32;

/// The length of a key's id in bytes: enough to tell keys apart, in 16 hexadecimal digits.
const ID_BYTES: usize = 8;

/// What is wrong with the keys.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The text is no key.
    #[error("not 32 bytes in base64; make a key with `posthorn secrets new-key`")]
    Form,
    /// Two references lead to the same key.
    #[error("the same key as another one of secrets.keys; take one of them out")]
    Twice,
    /// There is no key to seal with.
    #[error(
        "secrets.keys is empty, and a secret is to be encrypted; make a key with `posthorn secrets new-key`, and name it there"
    )]
    NoKeys,
    /// There are more bytes to seal than the cipher takes.
    #[error("the secret is too large to be encrypted")]
    TooLarge,
}

pub(super) struct Key {
    pub(super) id: String,
    pub(super) aead: LessSafeKey,
}

impl Key {
    /// Reads a key as `posthorn secrets new-key` prints it.
    fn parse(text: &SecretSlice<u8>) -> Result<Self, KeyError> {
        // One byte more than a key, so that a longer one is not taken for it.
        let mut bytes = Zeroizing::new([0; KEY_BYTES + 1]);
        let length = BASE64_STANDARD
            .decode_slice(text.expose_secret().trim_ascii(), &mut *bytes)
            .map_err(|_| KeyError::Form)?;
        if length != KEY_BYTES {
            return Err(KeyError::Form);
        }
        let key = UnboundKey::new(&AES_256_GCM, &bytes[..KEY_BYTES]).map_err(|_| KeyError::Form)?;
        Ok(Self {
            id: id_of(&bytes[..KEY_BYTES]),
            aead: LessSafeKey::new(key),
        })
    }
}

/// The id of a key, which tells nothing about it: a part of an HMAC under it.
fn id_of(key: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, b"posthorn key id 1");
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&tag.as_ref()[..ID_BYTES]);
    format!("{:016x}", u64::from_be_bytes(id))
}

/// Makes a key of random bytes, as text.
#[must_use]
pub fn new_key(random: &Zeroizing<[u8; KEY_BYTES]>) -> SecretString {
    BASE64_STANDARD.encode(**random).into()
}

/// The keys at hand: the first one seals, and every one opens.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

impl Keyring {
    /// Adds a key behind the others; the first that is added seals.
    pub fn add(&mut self, text: &SecretSlice<u8>) -> Result<(), KeyError> {
        let key = Key::parse(text)?;
        if self.by_id(&key.id).is_some() {
            return Err(KeyError::Twice);
        }
        self.keys.push(key);
        Ok(())
    }

    /// The id of the key that seals.
    pub fn first_id(&self) -> Result<&str, KeyError> {
        Ok(&self.first()?.id)
    }

    /// The ids of the keys, in their order.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        self.keys.iter().map(|key| key.id.as_str()).collect()
    }

    pub(super) fn first(&self) -> Result<&Key, KeyError> {
        self.keys.first().ok_or(KeyError::NoKeys)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.ids()).finish()
    }
}
