//! Trust in a certificate that a subscription names in `ca_cert` and that a receiver shows as
//! its own.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::der::Decode;

/// Verifies a receiver's certificate as everywhere, and takes one thing more: a certificate that is
/// byte by byte one of the subscription's authorities may be the receiver's own, although it is
/// marked as an authority's, as `openssl req -x509` marks each that it makes. Its name, its time
/// and the proof that the receiver has its key are asked for as of any other.
#[derive(Debug)]
pub(super) struct Pinned {
    authorities: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl Pinned {
    pub(super) fn new(
        authorities: Vec<CertificateDer<'static>>,
        chains: Arc<WebPkiServerVerifier>,
    ) -> Self {
        Self {
            authorities,
            chains,
        }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chains.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(Error::InvalidCertificate(refused))
                if is_an_authority(&refused) && self.authorities.contains(end_entity) =>
            {
                is_in_time(end_entity, now)?;
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Whether a certificate was refused because it is marked as an authority's.
pub(super) fn is_an_authority(refused: &CertificateError) -> bool {
    matches!(
        webpki_error(refused),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

/// The cause within a refusal, which rustls has no word of its own for.
pub(super) fn webpki_error(refused: &CertificateError) -> Option<&webpki::Error> {
    match refused {
        CertificateError::Other(other) => other.0.downcast_ref(),
        _ => None,
    }
}

fn is_in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let certificate =
        x509_cert::Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = certificate.tbs_certificate().validity();
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet);
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired);
    }
    Ok(())
}
