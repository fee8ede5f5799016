//! A receiver behind TLS, with a certificate of the test's choice.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::DistinguishedName;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ServerConfig;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A file of a test's, as a reference to a secret.
pub fn write(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    format!("file:{}", path.display())
}

/// Answers every request with 200.
pub struct TlsServer {
    pub address: SocketAddr,
}

impl TlsServer {
    /// Asks nobody for a certificate.
    pub async fn with(chain: &[&CertificateDer<'static>], key: &KeyPair) -> Self {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let chain = chain.iter().map(|it| (*it).clone()).collect();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Self::of(config.with_single_cert(chain, key).unwrap()).await
    }

    /// Demands this very certificate and the proof of its key, and looks at nothing else of
    /// it, as a server does that has a list of them.
    pub async fn demanding(
        client: CertificateDer<'static>,
        spki: Vec<u8>,
        chain: &CertificateDer<'static>,
        key: &KeyPair,
    ) -> Self {
        let listed = Listed {
            client,
            spki: spki.into(),
            provider: ring::default_provider(),
        };
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(listed));
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Self::of(config.with_single_cert(vec![chain.clone()], key).unwrap()).await
    }

    async fn of(config: ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?;
                    let mut request = Vec::new();
                    while !request.ends_with(b"}") {
                        stream.read_buf(&mut request).await?;
                    }
                    let answer =
                        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    stream.write_all(answer).await?;
                    stream.shutdown().await
                });
            }
        });
        Self { address }
    }
}

#[derive(Debug)]
struct Listed {
    client: CertificateDer<'static>,
    spki: SubjectPublicKeyInfoDer<'static>,
    provider: CryptoProvider,
}

impl ClientCertVerifier for Listed {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        assert_eq!(*end_entity, self.client);
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("it speaks TLS 1.3")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &self.spki, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
