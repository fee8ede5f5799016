use secrecy::{ExposeSecret, SecretSlice};

use super::{given, identity, resolved, text};
use crate::model::secret::SecretRef;
use crate::model::settings::resolve;
use crate::model::subscription::ClientAuth;
use crate::model::{Auth, Credential};

#[test]
fn an_api_key_is_a_header_with_its_value_or_a_value_alone() {
    let settings = given(|s| {
        s.auth = text("api_key");
        s.auth_secret = text("env:KEY");
    });
    for (secret, expected) in [
        ("X-Key:abc", ("X-Key", "abc")),
        ("X-Key: a:b", ("X-Key", "a:b")),
        ("abc", ("Authorization", "abc")),
        ("authorization:Bearer a:b", ("authorization", "Bearer a:b")),
    ] {
        let subscription = resolved(&settings, secret).unwrap();
        let Auth::ApiKey { header, value, .. } = subscription.auth else {
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
fn an_oauth2_client_is_an_id_and_a_secret() {
    let settings = given(|s| {
        s.auth = text("oauth2");
        s.auth_secret = text("env:CLIENT");
        s.oauth2_token_url = text("https://auth.example/token");
        s.oauth2_client_auth = text("body");
        s.oauth2_scope = text("a b");
    });
    let Auth::OAuth2(client) = resolved(&settings, "id:se:cret").unwrap().auth else {
        panic!("not OAuth2");
    };
    assert_eq!(client.id, "id");
    assert_eq!(client.secret.expose_secret(), "se:cret");
    assert_eq!(client.sent_in, ClientAuth::Body);
    assert_eq!(client.token_url.as_str(), "https://auth.example/token");
    assert_eq!(client.scope.as_deref(), Some("a b"));
    assert_eq!(client.audience, None);
    for secret in ["hunter2", "hunter2:", ":hunter2", "id:hunter2\nmore"] {
        let problems = resolved(&settings, secret).unwrap_err();
        assert_eq!(problems[0].key, "auth_secret");
        let shown = problems[0].to_string();
        assert!(shown.contains("write client_id:client_secret"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_rotation_has_two_credentials_of_the_same_kind() {
    let settings = given(|s| {
        s.auth = text("api_key");
        s.auth_secret = text("env:NEW");
        s.auth_secret_previous = text("env:OLD");
    });
    let read = |old: &'static str| {
        resolve(identity(), &settings, &move |from| {
            let text = match from {
                SecretRef::Env(name) if name == "NEW" => "X-Key:new",
                _ => old,
            };
            Ok(SecretSlice::from(text.as_bytes().to_vec()))
        })
    };
    let subscription = read("X-Old-Key:old").unwrap();
    for (credential, expected) in [(Credential::Current, "new"), (Credential::Previous, "old")] {
        let Auth::ApiKey { value, .. } = subscription.auth_by(credential) else {
            panic!("not an API key");
        };
        assert_eq!(value.expose_secret(), expected);
    }
    let problems = read("X-Key:").unwrap_err();
    assert_eq!(problems[0].key, "auth_secret_previous");
}

#[test]
fn stored_secrets_are_listed_with_their_keys() {
    let settings = given(|s| {
        s.auth_secret = text("secret:a");
        s.auth_secret_previous = text("env:b");
        s.client_pkcs12 = text("secret:c.p12");
        s.signing_secrets = Some(vec!["secret:d".to_owned(), "file:/e".to_owned()]);
        s.ca_cert = text("secret:not a name");
    });
    let stored = settings.stored_secrets();
    let stored: Vec<_> = stored
        .iter()
        .map(|(key, name)| (*key, name.as_str()))
        .collect();
    assert_eq!(
        stored,
        [
            ("auth_secret", "a"),
            ("client_pkcs12", "c.p12"),
            ("signing_secrets", "d")
        ]
    );
}
