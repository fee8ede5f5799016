use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretSlice};

use super::{given, identity, resolved, text};
use crate::model::secret::{SecretError, SecretRef};
use crate::model::settings::{Problem, resolve};

#[test]
fn a_client_certificate_needs_https() {
    let problems = given(|s| {
        s.url = text("http://h/");
        s.client_cert = text("env:A");
        s.client_key = text("env:B");
    })
    .problems();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].key, "client_cert");
}

#[test]
fn client_certificates_are_read_as_pem() {
    let settings = given(|s| {
        s.client_cert = text("file:cert");
        s.client_key = text("file:key");
        s.ca_cert = text("file:cert");
    });
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["h".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let subscription = resolve(identity(), &settings, &|from| {
        let pem = match from {
            SecretRef::File(path) if path.ends_with("key") => key.serialize_pem(),
            _ => certificate.pem(),
        };
        Ok(SecretSlice::from(pem.into_bytes()))
    })
    .unwrap();
    let identity = subscription.tls.client_identity.unwrap();
    let pem = String::from_utf8(identity.expose_secret().to_vec()).unwrap();
    assert!(pem.contains("BEGIN CERTIFICATE") && pem.contains("PRIVATE KEY"));
    assert!(subscription.tls.ca.is_some());

    let problems = resolved(&settings, "hunter2").unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["client_cert", "client_key", "ca_cert"]);
    assert!(!format!("{problems:?}").contains("hunter2"));
}

/// Of every file in `pkcs12`, which openssl 3 made; `legacy.p12` with `-legacy`, which is
/// what openssl 1 made by itself: RC2, 3DES and SHA-1.
const PASSWORD: &str = "pkcs12-canary";

/// How many certificates there are, where the file opens and has a key.
fn opened(file: &[u8], password: Option<&'static str>) -> Result<usize, Vec<Problem>> {
    let settings = given(|s| {
        s.client_pkcs12 = text("file:client.p12");
        s.client_pkcs12_password = password.map(|_| "env:PASSWORD".to_owned());
    });
    let subscription = resolve(identity(), &settings, &|from| match from {
        SecretRef::File(_) => Ok(SecretSlice::from(file.to_vec())),
        other => password
            .map(|password| SecretSlice::from(password.as_bytes().to_vec()))
            .ok_or_else(|| SecretError::NotSet(other.to_string())),
    })?;
    let identity = subscription.tls.client_identity.unwrap();
    let pem = identity.expose_secret();
    PrivateKeyDer::from_pem_slice(pem).unwrap();
    Ok(CertificateDer::pem_slice_iter(pem)
        .map(Result::unwrap)
        .count())
}

#[test]
fn pkcs12_opens_however_it_was_encrypted() {
    for (name, file, password, certificates) in [
        (
            "modern",
            &include_bytes!("pkcs12/modern.p12")[..],
            Some(PASSWORD),
            2,
        ),
        (
            "legacy",
            include_bytes!("pkcs12/legacy.p12"),
            Some(PASSWORD),
            2,
        ),
        (
            "no_mac",
            include_bytes!("pkcs12/no_mac.p12"),
            Some(PASSWORD),
            1,
        ),
        (
            "plain",
            include_bytes!("pkcs12/plain.p12"),
            Some(PASSWORD),
            1,
        ),
        (
            "no_password",
            include_bytes!("pkcs12/no_password.p12"),
            None,
            1,
        ),
        (
            "in base64",
            include_bytes!("pkcs12/modern.base64"),
            Some(PASSWORD),
            2,
        ),
    ] {
        assert_eq!(opened(file, password), Ok(certificates), "{name}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table of cases")]
fn pkcs12_that_gives_no_client_certificate_says_why() {
    let modern = &include_bytes!("pkcs12/modern.p12")[..];
    let file = "client_pkcs12";
    let password = "client_pkcs12_password";
    for (name, content, given, key, words) in [
        (
            "wrong password",
            modern,
            Some("hunter2"),
            password,
            "does not open with env:PASSWORD",
        ),
        (
            "no password",
            modern,
            None,
            password,
            "opens with a password only",
        ),
        (
            "wrong password, legacy",
            include_bytes!("pkcs12/legacy.p12"),
            Some("hunter2"),
            password,
            "does not open with env:PASSWORD",
        ),
        (
            "no key",
            include_bytes!("pkcs12/no_key.p12"),
            Some(PASSWORD),
            file,
            "no private key with its certificate",
        ),
        (
            "no certificate",
            include_bytes!("pkcs12/no_certificate.p12"),
            Some(PASSWORD),
            file,
            "no private key with its certificate",
        ),
        (
            "another cipher",
            include_bytes!("pkcs12/rc2_128.p12"),
            Some(PASSWORD),
            file,
            "in a way that is not supported",
        ),
        (
            "cut off",
            &modern[..500],
            Some(PASSWORD),
            file,
            "is not PKCS#12 or is damaged",
        ),
        (
            "text",
            b"hunter2",
            Some(PASSWORD),
            file,
            "is not PKCS#12 or is damaged",
        ),
        (
            "PEM",
            b"-----BEGIN CERTIFICATE-----",
            Some(PASSWORD),
            file,
            "is not PKCS#12",
        ),
        (
            "near base64",
            b"Mhunter2",
            Some(PASSWORD),
            file,
            "is not PKCS#12",
        ),
    ] {
        let problems = opened(content, given).unwrap_err();
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        assert_eq!(problems[0].key, key, "{name}: {problems:?}");
        assert!(problems[0].message.contains(words), "{name}: {problems:?}");
        let shown = format!("{problems:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains(PASSWORD),
            "{shown}"
        );
    }
}
