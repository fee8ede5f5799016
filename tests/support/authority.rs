//! A private certificate authority, and servers that prove themselves by its certificates.

use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{ConfigBuilder, RootCertStore, WantsVerifier};
use tokio_rustls::TlsAcceptor;

/// A certificate with its key.
pub type Issued = (Certificate, KeyPair);

/// An authority that nobody knows of who is not told.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub fn issue(&self, name: &str) -> Issued {
        self.sign(&CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    pub fn sign(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A client's certificate and its key, in PEM.
    pub fn identity(&self) -> Vec<u8> {
        let (certificate, key) = self.issue("posthorn");
        format!("{}{}", certificate.pem(), key.serialize_pem()).into_bytes()
    }

    /// The authority's own certificate, in PEM.
    pub fn pem(&self) -> Vec<u8> {
        self.certificate.pem().into_bytes()
    }

    /// What the server on 127.0.0.1 speaks TLS with: its certificate, and those that it demands,
    /// are this authority's.
    pub fn demanding(&self) -> TlsAcceptor {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let config = config().with_client_cert_verifier(verifier.build().unwrap());
        let (chain, key) = own(&self.issue("127.0.0.1"));
        TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
    }
}

/// What a server speaks TLS with that has this certificate, and asks nobody for one.
pub fn server(issued: &Issued) -> TlsAcceptor {
    let (chain, key) = own(issued);
    let config = config().with_no_client_auth();
    TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
}

fn config() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}

fn own((certificate, key): &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (vec![certificate.der().clone()], key)
}
