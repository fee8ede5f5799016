//! An endpoint that demands a client certificate, behind a private authority.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{Database, Worker};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "private");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Self {
            issuer,
            certificate,
        }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// Answers 200 with the name of the client's certificate to those that have one.
async fn demanding_server(authority: &Authority) -> SocketAddr {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
    let (certificate, key) = authority.issue("127.0.0.1");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(acceptor.clone(), stream));
        }
    });
    address
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let stream = stream.get_mut();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 7\r\n\r\nwelcome")
        .await?;
    stream.shutdown().await
}

fn write(directory: &Path, name: &str, pem: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, pem).unwrap();
    format!("file:{}", path.display())
}

#[tokio::test]
async fn a_client_certificate_opens_the_endpoint_that_demands_one() {
    let database = Database::new().await;
    let authority = Authority::new();
    let url = format!("https://{}/hook", demanding_server(&authority).await);
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.issue("posthorn");
    let ca = write(directory.path(), "ca.pem", &authority.certificate.pem());
    let cert = write(directory.path(), "client.pem", &certificate.pem());
    let key = write(directory.path(), "client.key", &key.serialize_pem());
    let with = json!({"url": url, "ca_cert": ca, "client_cert": cert, "client_key": key, "max_attempts": 1});
    database.subscribe("acme", "with", with).await;
    let without = json!({"url": url, "ca_cert": ca, "max_attempts": 1});
    database.subscribe("acme", "without", without).await;
    database
        .subscribe("acme", "untrusting", json!({"url": url, "max_attempts": 1}))
        .await;
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 1).await;
    database.count_reaches("posting_error", 2).await;
    let said: Vec<String> = database
        .value(&format!(
            "SELECT array_agg(s.name || ' ' || a.outcome || ' ' || coalesce(a.body, '') ORDER BY s.name)
               FROM posthorn.attempts a JOIN posthorn.subscriptions s ON s.id = a.subscription_id
              WHERE a.event_id = '{event}'"
        ))
        .await;
    assert_eq!(said, ["untrusting tls ", "with ok welcome", "without tls "]);
}
