//! How a subscription's requests prove who sends them, and whom they trust. Checking
//! the references needs no secret; opening them reads each once.

use http::{HeaderName, HeaderValue};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::problem::{choose, note};
use super::{Problem, Settings};
use crate::model::Auth;
use crate::model::secret::{ReadSecret, SecretRef, as_text};
use crate::model::subscription::TlsSettings;

/// Headers that the engine or HTTP itself writes; an API key in one of them would break
/// the request.
const RESERVED_HEADERS: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "hmac-authorization",
    "hmac-random-key",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    None,
    Basic,
    ApiKey,
}

/// The references of a subscription's credentials, checked but not read.
pub(super) struct Credentials {
    kind: Kind,
    auth_secret: Option<SecretRef>,
    client_cert: Option<SecretRef>,
    client_key: Option<SecretRef>,
    ca_cert: Option<SecretRef>,
}

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Credentials {
    let kind = choose(
        "auth",
        settings.auth.as_deref(),
        &[
            ("none", Kind::None),
            ("basic", Kind::Basic),
            ("api_key", Kind::ApiKey),
        ],
        Kind::None,
        problems,
    )
    .unwrap_or(Kind::None);
    let secret = &settings.auth_secret;
    if kind != Kind::None && secret.is_none() {
        problems.push(Problem::new(
            "auth_secret",
            "missing, and auth needs it; give env:NAME or file:PATH",
        ));
    }
    if settings.auth.is_none() && secret.is_some() {
        problems.push(Problem::new(
            "auth",
            "missing, and auth_secret is given; give \"basic\" or \"api_key\"",
        ));
    }
    match (&settings.client_cert, &settings.client_key) {
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
    Credentials {
        kind,
        auth_secret: reference("auth_secret", secret.as_deref(), problems),
        client_cert: reference("client_cert", settings.client_cert.as_deref(), problems),
        client_key: reference("client_key", settings.client_key.as_deref(), problems),
        ca_cert: reference("ca_cert", settings.ca_cert.as_deref(), problems),
    }
}

fn reference(
    key: &'static str,
    text: Option<&str>,
    problems: &mut Vec<Problem>,
) -> Option<SecretRef> {
    let reference = SecretRef::parse(text?);
    if reference.is_none() {
        // The text is left out: it is most likely the secret itself.
        problems.push(Problem::new(
            key,
            "text that is not a reference; give env:NAME or file:PATH, and keep the value there",
        ));
    }
    reference
}

impl Credentials {
    pub fn auth(&self, read: &ReadSecret<'_>, problems: &mut Vec<Problem>) -> Option<Auth> {
        if self.kind == Kind::None {
            return Some(Auth::None);
        }
        let from = self.auth_secret.as_ref()?;
        let text = read(from).and_then(|bytes| as_text(from, &bytes));
        let text = note("auth_secret", text.map_err(|e| e.to_string()), problems)?;
        let auth = match self.kind {
            Kind::Basic => basic(text),
            _ => api_key(text.expose_secret()),
        };
        note("auth_secret", content(from, auth), problems)
    }

    pub fn tls(&self, read: &ReadSecret<'_>, problems: &mut Vec<Problem>) -> TlsSettings {
        let mut pem =
            |key, from: Option<&SecretRef>, look: fn(&[u8]) -> Result<(), &'static str>| {
                let from = from?;
                let pem = note(key, read(from).map_err(|e| e.to_string()), problems)?;
                note(key, content(from, look(pem.expose_secret())), problems)?;
                Some(pem)
            };
        let chain = pem("client_cert", self.client_cert.as_ref(), certificates);
        let key = pem("client_key", self.client_key.as_ref(), private_key);
        let ca = pem("ca_cert", self.ca_cert.as_ref(), certificates);
        TlsSettings {
            client_identity: chain.zip(key).map(|(chain, key)| joined(&chain, &key)),
            ca: ca.map(|pem| pem.expose_secret().to_vec()),
        }
    }
}

/// Says where the content stands that was refused, instead of the content.
fn content<T>(from: &SecretRef, result: Result<T, &'static str>) -> Result<T, String> {
    result.map_err(|remedy| format!("the content of {from} {remedy}"))
}

/// RFC 7617, section 2: a user name without a colon, and no control characters.
fn basic(text: SecretString) -> Result<Auth, &'static str> {
    let exposed = text.expose_secret();
    if exposed.chars().any(char::is_control) {
        return Err("has a control character or a second line; write user:password on one line");
    }
    if !exposed.contains(':') {
        return Err("has no colon; write user:password");
    }
    Ok(Auth::Basic(text))
}

/// WIRE.md 4.3: `header:value`, or `value` alone for `authorization`.
fn api_key(text: &str) -> Result<Auth, &'static str> {
    let (header, value) = text.split_once(':').unwrap_or(("authorization", text));
    let header = HeaderName::from_bytes(header.trim().as_bytes()).map_err(
        |_| "has no header name before the colon; write header:value, or authorization:value where the value has a colon",
    )?;
    if RESERVED_HEADERS.contains(&header.as_str()) {
        return Err("names a header that the request needs for itself; write another header");
    }
    let value = value.trim();
    if value.is_empty() || HeaderValue::from_str(value).is_err() {
        return Err(
            "has no value that a header can carry; write header:value in ASCII on one line",
        );
    }
    Ok(Auth::ApiKey {
        header: header.as_str().to_owned(),
        value: SecretString::from(value),
    })
}

fn certificates(pem: &[u8]) -> Result<(), &'static str> {
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

/// Chain and key in one PEM text, as [`TlsSettings::client_identity`] holds them.
fn joined(chain: &SecretSlice<u8>, key: &SecretSlice<u8>) -> SecretSlice<u8> {
    let (chain, key) = (chain.expose_secret(), key.expose_secret());
    // Reserved in full, so that no copy of the key is left behind by growing.
    let mut pem = Vec::with_capacity(chain.len() + 1 + key.len());
    pem.extend_from_slice(chain);
    pem.push(b'\n');
    pem.extend_from_slice(key);
    pem.into()
}
