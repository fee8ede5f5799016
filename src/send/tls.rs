//! What makes a TLS connection trusted: the system's roots, the subscription's CA and
//! its client certificate.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use tracing::warn;

use crate::model::subscription::TlsSettings;

/// Sessions that a client can resume; a merchant has few endpoints, and rustls keeps eight
/// for each.
const SESSIONS: usize = 32;

/// Why a subscription's TLS settings cannot be used. No variant quotes what it read:
/// the text beside a misplaced PEM marker may be a private key.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("client_cert cannot be read as PEM")]
    ClientCertificate,
    #[error("client_cert holds no certificate")]
    NoClientCertificate,
    #[error("client_key holds no private key that can be read as PEM")]
    ClientKey,
    #[error("client_cert and client_key cannot be used together: {0}")]
    Identity(rustls::Error),
    #[error("ca_cert cannot be read as PEM")]
    Ca,
    #[error("ca_cert holds no certificate")]
    NoCa,
    #[error("ca_cert cannot be trusted as an authority: {0}")]
    UnusableCa(rustls::Error),
    #[error("TLS cannot be set up: {0}")]
    Versions(rustls::Error),
}

/// Makes the TLS configuration of a client. The system's roots are read once: they are
/// hundreds of files.
pub(super) struct TlsFactory {
    provider: Arc<CryptoProvider>,
    system_roots: Arc<RootCertStore>,
}

impl TlsFactory {
    pub(super) fn new() -> Self {
        Self {
            provider: Arc::new(ring::default_provider()),
            system_roots: Arc::new(system_roots()),
        }
    }

    pub(super) fn config(&self, settings: &TlsSettings) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Versions)?
            .with_root_certificates(self.roots(settings.ca.as_deref())?);
        let mut config = match &settings.client_identity {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let (chain, key) = identity(pem.expose_secret())?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(TlsError::Identity)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A memory of this configuration's own: no session is resumed under another trust.
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }

    /// Shared where the subscription adds nothing.
    fn roots(&self, ca: Option<&[u8]>) -> Result<Arc<RootCertStore>, TlsError> {
        let Some(pem) = ca else {
            return Ok(Arc::clone(&self.system_roots));
        };
        let authorities = certificates(pem).ok_or(TlsError::Ca)?;
        if authorities.is_empty() {
            return Err(TlsError::NoCa);
        }
        let mut roots = RootCertStore::clone(&self.system_roots);
        for authority in authorities {
            roots.add(authority).map_err(TlsError::UnusableCa)?;
        }
        Ok(Arc::new(roots))
    }
}

/// A machine without roots can still reach receivers whose CA is configured.
fn system_roots() -> RootCertStore {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        warn!("the system has no root certificates: only receivers with a ca_cert can be reached");
    }
    roots
}

/// The chain, leaf first, and the key, in whichever order they stand.
fn identity(
    pem: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(pem).ok_or(TlsError::ClientCertificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoClientCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::ClientKey)?;
    Ok((chain, key))
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .ok()
}
