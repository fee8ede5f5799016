//! What makes a TLS connection trusted: the system's roots, the subscription's CA and
//! its client certificate.

use std::sync::Arc;

use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use tracing::warn;

use super::pinned::Pinned;
use crate::model::client_identity::{IdentityError, client_identity};
use crate::model::subscription::TlsSettings;

/// Sessions that a client can resume; a merchant has few endpoints, and rustls keeps eight
/// for each.
const SESSIONS: usize = 32;

/// Why a subscription's TLS settings cannot be used. No variant quotes what it read:
/// the text beside a misplaced PEM marker may be a private key.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("ca_cert cannot be read as PEM")]
    Ca,
    #[error("ca_cert holds no certificate")]
    NoCa,
    #[error("ca_cert cannot be trusted as an authority: {0}")]
    UnusableCa(rustls::Error),
    #[error("ca_cert cannot be used: {0}")]
    Verifier(#[from] VerifierBuilderError),
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
            .map_err(TlsError::Versions)?;
        let builder = match settings.ca.as_deref() {
            // Shared where the subscription adds nothing.
            None => builder.with_root_certificates(Arc::clone(&self.system_roots)),
            Some(pem) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(self.trusting(pem)?)),
        };
        let mut config = match &settings.client_identity {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let identity = client_identity(pem.expose_secret())?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A memory of this configuration's own: no session is resumed under another trust.
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }

    fn trusting(&self, pem: &[u8]) -> Result<Pinned, TlsError> {
        let authorities = certificates(pem).ok_or(TlsError::Ca)?;
        if authorities.is_empty() {
            return Err(TlsError::NoCa);
        }
        let mut roots = RootCertStore::clone(&self.system_roots);
        for authority in &authorities {
            roots.add(authority.clone()).map_err(TlsError::UnusableCa)?;
        }
        let provider = Arc::clone(&self.provider);
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Pinned::new(authorities, chains?))
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

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .ok()
}
