//! Reads references on behalf of one merchant, those to its own stored secrets included.

use std::collections::HashMap;

use secrecy::SecretSlice;
use uuid::Uuid;

use super::{Keyring, Place, Sealed};
use crate::model::secret::{ReadSecret, SecretError, SecretRef};

/// A secret as a row of `posthorn.secrets` holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The row's id.
    pub id: Uuid,
    /// The merchant whose secret it is.
    pub merchant: String,
    /// The secret's name, unique within the merchant.
    pub name: String,
    /// The encrypted secret.
    pub sealed: Sealed,
}

impl Stored {
    /// What the ciphertext belongs to.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place {
            id: self.id,
            merchant: &self.merchant,
            name: &self.name,
        }
    }
}

/// Stored secrets that were loaded, by merchant and name, and the keys that open them.
#[derive(Debug)]
pub struct Opener<'k> {
    keys: &'k Keyring,
    stored: HashMap<String, HashMap<String, Stored>>,
}

impl<'k> Opener<'k> {
    /// Takes the keys, and the rows that they are to open.
    #[must_use]
    pub fn new(keys: &'k Keyring, rows: Vec<Stored>) -> Self {
        let mut stored: HashMap<String, HashMap<String, Stored>> = HashMap::new();
        for row in rows {
            let of_merchant = stored.entry(row.merchant.clone()).or_default();
            of_merchant.insert(row.name.clone(), row);
        }
        Self { keys, stored }
    }

    /// Fetches what a reference of the merchant points to; `elsewhere` fetches what is not stored.
    /// A name is never looked for among another merchant's (invariant 7).
    pub fn read(
        &self,
        merchant: &str,
        from: &SecretRef,
        elsewhere: &ReadSecret<'_>,
    ) -> Result<SecretSlice<u8>, SecretError> {
        let SecretRef::Stored(name) = from else {
            return elsewhere(from);
        };
        let row = self
            .stored
            .get(merchant)
            .and_then(|of_merchant| of_merchant.get(name))
            .ok_or_else(|| SecretError::NotStored(name.clone()))?;
        self.keys.open(row.place(), &row.sealed)
    }
}
