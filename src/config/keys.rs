//! `[secrets]`: the keys that the secrets in the database are encrypted with.

use toml::de::DeValue;

use super::document::Section;
use super::{secrets, value};
use crate::model::secret::{SecretError, SecretRef};
use crate::vault::{KeyError, Keyring};

/// The keys of the secrets that stand in the database: the section `[secrets]`.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Where the keys are kept: the first encrypts, every one decrypts.
    pub keys: Vec<SecretRef>,
}

/// Which of the keys cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum UnusableKey {
    /// A key cannot be read from where it is kept.
    #[error("secrets.keys: {0}")]
    Unreadable(#[from] SecretError),
    /// What stands there is no key that can be used.
    #[error("secrets.keys: the content of {0} is {1}")]
    Refused(SecretRef, KeyError),
}

impl Secrets {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            keys: section.list("keys", key).unwrap_or_default(),
        }
    }

    /// Reads the keys.
    pub fn keyring(&self) -> Result<Keyring, UnusableKey> {
        let mut keyring = Keyring::default();
        for from in &self.keys {
            keyring
                .add(&secrets::read(from)?)
                .map_err(|error| UnusableKey::Refused(from.clone(), error))?;
        }
        Ok(keyring)
    }
}

fn key(value: &DeValue<'_>) -> Result<SecretRef, String> {
    // The text is left out: it may be the key itself.
    SecretRef::parse_outside(&value::text(value)?).ok_or_else(|| {
        "text that does not say where the key is; give env:NAME or file:PATH".to_owned()
    })
}
