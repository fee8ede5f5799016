use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::SecretSlice;

use super::{given, identity, resolved, text};
use crate::model::secret::SecretRef;
use crate::model::settings::resolve;
use crate::model::{Settings, Signing, SigningKey};

fn signed(scheme: &str) -> Settings {
    given(|s| {
        s.signing = text(scheme);
        s.signing_secrets = Some(vec!["env:KEY".to_owned()]);
    })
}

/// A key of so many bytes, which a message must not show.
fn key(prefix: &str, bytes: usize) -> String {
    format!("{prefix}{}", BASE64_STANDARD.encode(vec![b'h'; bytes]))
}

#[test]
fn keys_sign_in_their_order() {
    let mut settings = signed("standard_webhooks");
    settings.signing_secrets = Some(vec!["env:OLD".to_owned(), "file:new".to_owned()]);
    let subscription = resolve(identity(), &settings, &|from| {
        let secret = match from {
            SecretRef::Env(_) => key("whsec_", 24),
            SecretRef::File(_) | SecretRef::Stored(_) => key("whsk_", 32),
        };
        Ok(SecretSlice::from(secret.into_bytes()))
    });
    let subscription = subscription.unwrap();
    let Signing::StandardWebhooks(keys) = &subscription.signing else {
        panic!("{:?}", subscription.signing);
    };
    assert!(matches!(
        keys[..],
        [SigningKey::Symmetric(_), SigningKey::Asymmetric(_)]
    ));
    let shown = format!("{subscription:?}");
    assert!(
        shown.contains("StandardWebhooks(2 keys, [redacted])"),
        "{shown}"
    );
    let sensepass = resolved(&signed("sensepass_hmac"), "s3cret: any text").unwrap();
    let shown = format!("{sensepass:?}");
    assert!(shown.contains("SensepassHmac([redacted])"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_key_is_taken_as_people_have_it() {
    for secret in [
        key("whsec_", 24),
        key("whsec_", 64),
        key("whsec_", 32).trim_end_matches('=').to_owned(),
        key("whsk_", 32),
        // RFC 8032, 7.1, test 1: the seed and its public key.
        "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==".to_owned(),
    ] {
        let found = resolved(&signed("standard_webhooks"), &secret);
        assert!(found.is_ok(), "{secret}: {found:?}");
    }
}

#[test]
fn a_key_that_cannot_sign_is_refused_without_being_shown() {
    for (secret, words) in [
        ("hunter2".to_owned(), "neither whsec_ nor whsk_"),
        (key("", 32), "neither whsec_ nor whsk_"),
        (key("whpk_", 32), "is a public key"),
        ("whsec_hunter2 hunter2".to_owned(), "is not base64"),
        ("whsk_hunter2\nhunter2".to_owned(), "is not base64"),
        (key("whsec_", 23), "24 to 64 bytes"),
        (key("whsec_", 65), "24 to 64 bytes"),
        ("whsec_".to_owned(), "24 to 64 bytes"),
        (key("whsk_", 31), "shorter than 32 bytes"),
        (key("whsk_", 33), "neither an ed25519 seed"),
        // Two halves that do not belong together.
        (key("whsk_", 64), "neither an ed25519 seed"),
    ] {
        let problems = resolved(&signed("standard_webhooks"), &secret).unwrap_err();
        assert_eq!(problems.len(), 1, "{secret}: {problems:?}");
        assert_eq!(problems[0].key, "signing_secrets");
        let told = problems[0].to_string();
        assert!(told.contains("the content of env:KEY"), "{told}");
        assert!(told.contains(words), "{secret}: {told}");
        assert!(
            !told.contains("hunter2") && !told.contains("aGho"),
            "{told}"
        );
    }
    let mut settings = signed("standard_webhooks");
    settings.signing_secrets = Some(vec!["env:GONE".to_owned()]);
    let problems = resolved(&settings, "").unwrap_err();
    assert!(problems[0].message.contains("GONE is not set"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table of cases")]
fn signing_that_a_receiver_could_not_check_is_refused() {
    type Change = fn(&mut Settings);
    let cases: [(&str, Change, &str, &str); 12] = [
        (
            "md5",
            |_| {},
            "signing",
            "none, standard_webhooks, sensepass_hmac",
        ),
        (
            "standard_webhooks",
            |s| s.signing_secrets = None,
            "signing_secrets",
            "missing",
        ),
        (
            "sensepass_hmac",
            |s| s.signing_secrets = None,
            "signing_secrets",
            "missing",
        ),
        (
            "none",
            |s| s.signing = None,
            "signing",
            "missing, and signing_secrets is given",
        ),
        (
            "none",
            |s| s.signing_secrets = Some(vec![]),
            "signing_secrets",
            "an empty list",
        ),
        (
            "standard_webhooks",
            |s| s.signing_secrets = Some(vec!["hunter2".to_owned()]),
            "signing_secrets",
            "env:NAME, file:PATH or secret:NAME",
        ),
        (
            "sensepass_hmac",
            |s| s.signing_secrets = Some(vec!["env:A".to_owned(), "env:B".to_owned()]),
            "signing_secrets",
            "room for one signature",
        ),
        (
            "standard_webhooks",
            |s| s.method = text("GET"),
            "signing",
            "has no body to sign",
        ),
        (
            "standard_webhooks",
            |s| s.id_header = text("none"),
            "id_header",
            "signs the id",
        ),
        (
            "standard_webhooks",
            |s| s.id_header = text("x-event"),
            "id_header",
            "does not end in -id",
        ),
        (
            "standard_webhooks",
            |s| s.timestamp_header = text("none"),
            "timestamp_header",
            "signs the time",
        ),
        (
            "standard_webhooks",
            |s| {
                s.id_header = text("x-id");
                s.attempt_header = text("X-Signature");
            },
            "attempt_header",
            "own signature header",
        ),
    ];
    for (scheme, change, key, words) in cases {
        let mut settings = signed(scheme);
        change(&mut settings);
        let problems = settings.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].key, key, "{}", problems[0]);
        assert!(problems[0].message.contains(words), "{}", problems[0]);
        assert!(!problems[0].message.contains("hunter2"));
    }
    // A GET of SensePass has an empty body, as its receivers' check expects.
    let mut get = signed("sensepass_hmac");
    get.method = text("GET");
    assert!(resolved(&get, "key").is_ok());
}
