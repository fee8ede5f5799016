//! The client certificate with its key, in PEM or PKCS#12, and further authorities.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::pkcs12::{Closed, open};
use super::{content, reference};
use crate::model::client_identity::{IdentityError, client_identity};
use crate::model::secret::{ReadSecret, SecretRef, as_text};
use crate::model::settings::problem::note;
use crate::model::settings::{Problem, Settings};
use crate::model::subscription::TlsSettings;

/// The references of a client's certificate and of roots, checked but not read.
pub(in crate::model::settings) struct Certificates {
    cert: Option<SecretRef>,
    key: Option<SecretRef>,
    pkcs12: Option<SecretRef>,
    password: Option<SecretRef>,
    ca: Option<SecretRef>,
}

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Certificates {
    let Settings {
        client_cert,
        client_key,
        client_pkcs12,
        client_pkcs12_password,
        ca_cert,
        ..
    } = settings;
    match (client_cert, client_key) {
        (Some(_), None) => problems.push(Problem::new(
            "client_key",
            "missing, and client_cert is given; give the certificate's private key too",
        )),
        (None, Some(_)) => problems.push(Problem::new(
            "client_cert",
            "missing, and client_key is given; give the key's certificate too",
        )),
        _ => {}
    }
    if client_pkcs12.is_some() && (client_cert.is_some() || client_key.is_some()) {
        problems.push(Problem::new(
            "client_pkcs12",
            "given beside client_cert and client_key, and it holds both; give one or the other",
        ));
    }
    if client_pkcs12.is_none() && client_pkcs12_password.is_some() {
        problems.push(Problem::new(
            "client_pkcs12_password",
            "given without client_pkcs12; give that too, or take this out",
        ));
    }
    let mut checked = |key, text: &Option<String>| reference(key, text.as_deref(), problems);
    Certificates {
        cert: checked("client_cert", client_cert),
        key: checked("client_key", client_key),
        pkcs12: checked("client_pkcs12", client_pkcs12),
        password: checked("client_pkcs12_password", client_pkcs12_password),
        ca: checked("ca_cert", ca_cert),
    }
}

impl Certificates {
    pub fn tls(&self, read: &ReadSecret<'_>, problems: &mut Vec<Problem>) -> TlsSettings {
        let mut pem =
            |key, from: Option<&SecretRef>, look: fn(&[u8]) -> Result<(), &'static str>| {
                let from = from?;
                let pem = note(key, read(from).map_err(|e| e.to_string()), problems)?;
                note(key, content(from, look(pem.expose_secret())), problems)?;
                Some(pem)
            };
        let chain = pem("client_cert", self.cert.as_ref(), chain);
        let key = pem("client_key", self.key.as_ref(), private_key);
        let ca = pem("ca_cert", self.ca.as_ref(), authorities);
        let identity = match (chain.zip(key), &self.key) {
            (Some((chain, key)), Some(from)) => {
                let pem = joined(&chain, &key);
                let proof = content(from, proved(&pem));
                note("client_key", proof, problems).map(|()| pem)
            }
            _ => self.of_pkcs12(read, problems),
        };
        TlsSettings {
            client_identity: identity,
            ca: ca.map(|pem| pem.expose_secret().to_vec()),
        }
    }

    fn of_pkcs12(
        &self,
        read: &ReadSecret<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<SecretSlice<u8>> {
        const FILE: &str = "client_pkcs12";
        const PASSWORD: &str = "client_pkcs12_password";
        let from = self.pkcs12.as_ref()?;
        let file = note(FILE, read(from).map_err(|e| e.to_string()), problems);
        let password = match &self.password {
            None => Some(SecretString::default()),
            Some(from) => {
                let text = read(from).and_then(|bytes| as_text(from, &bytes));
                note(PASSWORD, text.map_err(|e| e.to_string()), problems)
            }
        };
        let opened = open(file?.expose_secret(), &password?);
        let opened = opened.map_err(|closed| match (closed, &self.password) {
            (Closed::Password, None) => (
                PASSWORD,
                format!("missing, and the content of {from} opens with a password only; give it"),
            ),
            (Closed::Password, Some(password)) => (
                PASSWORD,
                format!(
                    "the content of {from} does not open with {password}; give the right password"
                ),
            ),
            (Closed::Content(remedy), _) => (FILE, format!("the content of {from} {remedy}")),
        });
        let pem = opened
            .map_err(|(key, message)| problems.push(Problem::new(key, message)))
            .ok()?;
        note(FILE, content(from, proved(&pem)), problems).map(|()| pem)
    }
}

fn chain(pem: &[u8]) -> Result<(), &'static str> {
    const REMEDY: &str = "has no certificate in PEM; give one or more CERTIFICATE blocks";
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|_| REMEDY)?;
        count += 1;
    }
    if count == 0 { Err(REMEDY) } else { Ok(()) }
}

fn private_key(pem: &[u8]) -> Result<(), &'static str> {
    PrivateKeyDer::from_pem_slice(pem)
        .map(drop)
        .map_err(|_| "has no private key in PEM; give one unencrypted PRIVATE KEY block")
}

fn authorities(pem: &[u8]) -> Result<(), &'static str> {
    chain(pem)?;
    let mut roots = RootCertStore::empty();
    let mut found = CertificateDer::pem_slice_iter(pem).flatten();
    found.try_for_each(|authority| {
        roots.add(authority).map_err(
            |_| "has a CERTIFICATE block that is not a certificate; give it as it was issued",
        )
    })
}

/// Tries whether key and certificate can be used together, before a delivery is spent on it.
fn proved(pem: &SecretSlice<u8>) -> Result<(), &'static str> {
    client_identity(pem.expose_secret())
        .map(drop)
        .map_err(|error| match error {
            IdentityError::Certificate | IdentityError::NoCertificate => {
                "comes with a certificate that cannot be read; give it as it was issued"
            }
            IdentityError::Key => "holds a key that cannot be read; give it as it was made",
            IdentityError::KindOfKey => {
                "holds a key of a kind that TLS cannot use here; give RSA of 2048 to 8192 bits, \
                 ECDSA on P-256 or P-384, or Ed25519"
            }
            IdentityError::NotTogether => {
                "holds a key that does not belong to the certificate; give the key that the first \
                 certificate was issued for"
            }
        })
}

/// Puts chain and key into one PEM text, as [`TlsSettings::client_identity`] holds them.
fn joined(chain: &SecretSlice<u8>, key: &SecretSlice<u8>) -> SecretSlice<u8> {
    let (chain, key) = (chain.expose_secret(), key.expose_secret());
    // Reserved in full, so that no copy of the key is left behind by growing.
    let mut pem = Vec::with_capacity(chain.len() + 1 + key.len());
    pem.extend_from_slice(chain);
    pem.push(b'\n');
    pem.extend_from_slice(key);
    pem.into()
}
