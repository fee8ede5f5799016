//! A client certificate and its key, as TLS takes them. Settings are proved by it when they
//! are resolved, and connections are made with what it gives.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::der::{Decode, Encode};

/// Why a certificate and a key prove nothing together. No variant quotes what it read: the
/// text beside a misplaced PEM marker may be a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The text of `client_cert` is not PEM.
    #[error("client_cert cannot be read as PEM")]
    Certificate,
    /// There is PEM in `client_cert`, and no certificate in it.
    #[error("client_cert holds no certificate")]
    NoCertificate,
    /// There is no readable private key in `client_key`.
    #[error("client_key holds no private key that can be read as PEM")]
    Key,
    /// The private key is of a kind that TLS cannot sign with here.
    #[error("client_key is a key of a kind that TLS cannot use")]
    KindOfKey,
    /// The key is not the one that the certificate is for.
    #[error("client_key does not belong to client_cert")]
    NotTogether,
}

/// Reads a certificate chain, leaf first, and its private key out of PEM, in whichever order they
/// stand in the text. A certificate that has expired is given all the same: what is taken is the
/// receiver's to say.
pub fn client_identity(pem: &[u8]) -> Result<CertifiedKey, IdentityError> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| IdentityError::Certificate)?;
    let leaf = chain.first().ok_or(IdentityError::NoCertificate)?.clone();
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| IdentityError::Key)?;
    let key = ring::sign::any_supported_type(&key).map_err(|_| IdentityError::KindOfKey)?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(identity),
        // It reads certificates of version 3 alone, and receivers take those of version 1.
        Err(Error::InvalidCertificate(_)) if is_of(&identity, &leaf) => Ok(identity),
        Err(_) => Err(IdentityError::NotTogether),
    }
}

fn is_of(identity: &CertifiedKey, leaf: &CertificateDer<'_>) -> bool {
    let certified = x509_cert::Certificate::from_der(leaf)
        .and_then(|leaf| leaf.tbs_certificate().subject_public_key_info().to_der());
    let key = identity.key.public_key();
    certified.is_ok_and(|certified| key.is_some_and(|key| key.as_ref() == certified))
}
