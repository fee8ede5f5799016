use secrecy::{ExposeSecret, SecretSlice};

use super::{given, identity, resolved, text};
use crate::model::Auth;
use crate::model::secret::SecretRef;
use crate::model::settings::resolve;

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
fn an_api_key_is_a_header_with_its_value_or_a_value_alone() {
    let settings = given(|s| {
        s.auth = text("api_key");
        s.auth_secret = text("env:KEY");
    });
    for (secret, expected) in [
        ("X-Key:abc", ("x-key", "abc")),
        ("X-Key: a:b", ("x-key", "a:b")),
        ("abc", ("authorization", "abc")),
        ("authorization:Bearer a:b", ("authorization", "Bearer a:b")),
    ] {
        let subscription = resolved(&settings, secret).unwrap();
        let Auth::ApiKey { header, value } = subscription.auth else {
            panic!("{secret}: not an API key");
        };
        assert_eq!((header.as_str(), value.expose_secret()), expected);
    }
    for (secret, words) in [
        ("Bearer hunter2:x", "write header:value"),
        ("Host:hunter2", "needs for itself"),
        ("Content-Length:hunter2", "needs for itself"),
        ("webhook-id:hunter2", "needs for itself"),
        ("HMAC-Authorization:hunter2", "needs for itself"),
        ("X-Key:", "no value that a header can carry"),
        (
            "X-Key:hunter2\nX-Other:a",
            "no value that a header can carry",
        ),
    ] {
        let problems = resolved(&settings, secret).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].message.contains(words),
            "{secret}: {}",
            problems[0]
        );
        assert!(!problems[0].message.contains("hunter2"), "{}", problems[0]);
    }
}

#[test]
fn basic_needs_user_and_password() {
    let settings = given(|s| {
        s.auth = text("basic");
        s.auth_secret = text("file:/run/secret");
    });
    assert!(matches!(
        resolved(&settings, "user:pass").unwrap().auth,
        Auth::Basic(_)
    ));
    for secret in ["hunter2", "user:hunter2\nmore"] {
        let problems = resolved(&settings, secret).unwrap_err();
        assert!(
            problems[0].message.contains("write user:password"),
            "{}",
            problems[0]
        );
        assert!(problems[0].message.contains("file:/run/secret"));
        assert!(!problems[0].message.contains("hunter2"));
    }
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
