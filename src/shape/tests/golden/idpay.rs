//! Seed page 003; WIRE.md 4.

use super::*;

const GOLDEN: &str = r#"{"id":"8263a268-5388-492a-bca2-28e1ff4a69f0","status":"approved"}"#;

#[test]
fn the_pages_message_with_each_authentication() {
    assert_eq!(GOLDEN.len(), 65);
    for (auth, secret, credential) in [
        ("none", "", ""),
        ("basic", "user:pass", "authorization: Basic dXNlcjpwYXNz\n"),
        ("api_key", "abc", "authorization: abc\n"),
    ] {
        let idpay = subscription("idpay", "https://merchant.example/hook", |s| {
            s.auth = text(auth);
            s.auth_secret = (!secret.is_empty()).then(|| format!("file:{secret}"));
        });
        let request = shaped(&samples::event(), &idpay, 1).unwrap();
        assert_eq!(
            wire(&request),
            format!("POST /hook\n{credential}{JSON}{FIRST}\n{GOLDEN}")
        );
    }
    let named = subscription("idpay", "https://merchant.example/hook", |s| {
        s.auth = text("api_key");
        s.auth_secret = text("file:X-Key:abc");
    });
    let request = shaped(&samples::event(), &named, 1).unwrap();
    assert_eq!(
        wire(&request),
        format!("POST /hook\n{JSON}{FIRST}x-key: abc\n\n{GOLDEN}")
    );
}

/// "It may vary in the future": the page's statuses, and one that nobody knows yet.
#[test]
fn every_status_passes_through() {
    let idpay = subscription("idpay", "https://merchant.example/hook", |_| {});
    for status in [
        "approved",
        "processing",
        "inconclusive",
        "shared",
        "skipped",
        "unknown-share",
        "absent-holder",
        "expired",
        "not-yet-invented \"é\"",
    ] {
        let event = Event {
            status: status.into(),
            ..samples::event()
        };
        let escaped = status.replace('"', "\\\"");
        assert_eq!(
            payload(&event, &idpay).unwrap(),
            GOLDEN.replace("approved", &escaped)
        );
    }
}

#[test]
fn the_same_fields_in_the_other_encodings() {
    for (encoding, body) in [
        (
            "nvp",
            "id=8263a268-5388-492a-bca2-28e1ff4a69f0&status=approved",
        ),
        (
            "xml",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><notification>\
             <id>8263a268-5388-492a-bca2-28e1ff4a69f0</id><status>approved</status></notification>",
        ),
    ] {
        let idpay = subscription("idpay", "https://merchant.example/hook", |s| {
            s.encoding = text(encoding);
        });
        assert_eq!(payload(&samples::event(), &idpay).unwrap(), body);
    }
}
