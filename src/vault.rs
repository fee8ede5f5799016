//! The vault: seals and opens the secrets that stand in the database. It knows no
//! database; who can read `posthorn.secrets` alone can open nothing.
//!
//! AES-256-GCM with a random nonce for each sealing, authenticated against the row's
//! identity: a ciphertext that is put into another row does not open
//! (docs/decisions/0012-secrets-at-rest.md).

mod key;
mod opener;
#[cfg(test)]
mod tests;

use ring::aead::{Aad, NONCE_LEN, Nonce};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice};
use uuid::Uuid;

pub use key::{KeyError, Keyring, new_key};
pub use opener::{Opener, Stored};

use crate::model::secret::SecretError;
use key::Key;

/// The row that a ciphertext belongs to; with the key's id, it is what the ciphertext is
/// authenticated against.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The row's id.
    pub id: Uuid,
    /// The merchant whose secret it is.
    pub merchant: &'a str,
    /// The secret's name.
    pub name: &'a str,
}

/// A secret as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The id of the key that sealed it.
    pub key_id: String,
    /// The number that was used once, with this key, for this ciphertext.
    pub nonce: Vec<u8>,
    /// The encrypted secret, with the authentication tag behind it.
    pub ciphertext: Vec<u8>,
}

/// The bytes of a nonce. Its use must be unique for a key, not secret: 96 random bits, for far
/// fewer sealings than the 2^32 that NIST SP 800-38D allows.
pub type NonceBytes = [u8; NONCE_LEN];

impl Keyring {
    /// Seals a secret with the first key. `nonce` must be random.
    pub fn seal(
        &self,
        place: Place<'_>,
        secret: &SecretSlice<u8>,
        nonce: NonceBytes,
    ) -> Result<Sealed, KeyError> {
        let key = self.first()?;
        // Reserved in full, so that the tag behind it leaves no copy of the plaintext.
        let plain = secret.expose_secret();
        let mut bytes = Vec::with_capacity(plain.len() + key.aead.algorithm().tag_len());
        bytes.extend_from_slice(plain);
        key.aead
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(authenticated(place, key)),
                &mut bytes,
            )
            .map_err(|_| KeyError::TooLarge)?;
        Ok(Sealed {
            key_id: key.id.clone(),
            nonce: nonce.to_vec(),
            ciphertext: bytes,
        })
    }

    /// Opens a secret with the key that sealed it, if that is at hand and the row is as it was.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<SecretSlice<u8>, SecretError> {
        let key = self
            .by_id(&sealed.key_id)
            .ok_or_else(|| SecretError::NoKey {
                name: place.name.to_owned(),
                key_id: sealed.key_id.clone(),
            })?;
        let tampered = || SecretError::Tampered(place.name.to_owned());
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| tampered())?;
        let mut bytes = Zeroizing::new(sealed.ciphertext.clone());
        let opened = key
            .aead
            .open_in_place(nonce, Aad::from(authenticated(place, key)), &mut bytes)
            .map_err(|_| tampered())?;
        Ok(opened.to_vec().into())
    }
}

/// The bytes that the ciphertext is authenticated with: each part with its length before it, so
/// that no two places read alike.
fn authenticated(place: Place<'_>, key: &Key) -> Vec<u8> {
    let parts: [&[u8]; 5] = [
        b"posthorn secret 1",
        key.id.as_bytes(),
        place.id.as_bytes(),
        place.merchant.as_bytes(),
        place.name.as_bytes(),
    ];
    let mut joined = Vec::new();
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}
