//! A private authority, the certificates that it gives, and a receiver that demands one.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Writes `ca.pem`, the receiver's `server.pem` and `server.key`, and `N.pem` and `N.key` for
/// so many clients.
pub fn make(directory: &Path, clients: u32) -> anyhow::Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    fs::write(directory.join("ca.pem"), certificate.pem())?;
    let issuer = Issuer::new(params, key);
    let issue = |name: &str, subject: String| -> anyhow::Result<()> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![subject])?.signed_by(&key, &issuer)?;
        fs::write(directory.join(format!("{name}.pem")), certificate.pem())?;
        let path = directory.join(format!("{name}.key"));
        Ok(fs::write(path, key.serialize_pem())?)
    };
    issue("server", "127.0.0.1".to_owned())?;
    for client in 0..clients {
        issue(&client.to_string(), format!("client-{client}"))?;
    }
    Ok(())
}

/// Answers 200 to everything, of clients with a certificate of the authority's and of those
/// without one.
pub async fn serve(directory: &Path) -> anyhow::Result<(SocketAddr, impl Future<Output = ()>)> {
    let acceptor = TlsAcceptor::from(Arc::new(config(directory)?));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(acceptor.clone(), stream));
        }
    };
    Ok((address, serving))
}

fn config(directory: &Path) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("ca.pem"))?)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
    let certificate = CertificateDer::from_pem_file(directory.join("server.pem"))?;
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key"))?;
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)
        .context("the receiver's certificate")
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let service = service_fn(async |request: Request<Incoming>| {
        request.into_body().collect().await?;
        Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    Ok(connection.await?)
}
