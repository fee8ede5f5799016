//! Signatures, against the vectors of the specification's own libraries.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use ring::signature::Ed25519KeyPair;

use super::*;
use crate::model::{Signing, SigningKey};
use crate::shape::signing::standard_webhooks;

fn symmetric(base64: &str) -> SigningKey {
    let key = BASE64_STANDARD.decode(base64).unwrap();
    SigningKey::Symmetric(hmac::Key::new(hmac::HMAC_SHA256, &key))
}

fn asymmetric(base64: &str) -> SigningKey {
    let seed = BASE64_STANDARD.decode(base64).unwrap();
    SigningKey::Asymmetric(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap().into())
}

/// The vectors of the project standard-webhooks, which its libraries for JavaScript
/// (`webhook.test.ts`, "sign function works") and Go (`webhook_asymmetric_test.go`) test.
#[test]
fn standard_webhooks_vectors() {
    let keys = [
        symmetric("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        asymmetric("VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="),
    ];
    let sign = |keys| {
        let body = br#"{"test": 2432232314}"#;
        standard_webhooks("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body, keys)
    };
    let hmac = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let ed25519 = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==";
    assert_eq!(sign(&keys[..1]), hmac);
    assert_eq!(sign(&keys[1..]), ed25519);
    assert_eq!(sign(&keys), format!("{hmac} {ed25519}"));
}

#[test]
fn the_signatures_header_follows_the_ids() {
    let mut subscription = samples::subscription();
    subscription.signing =
        Signing::StandardWebhooks(vec![symmetric("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]);
    let usual = shaped(&samples::event(), &subscription, 1).unwrap();
    // Python: hmac over "<id>.1772366400.<body>" with the key's 24 bytes.
    let first = "v1,Wg+PdlT4XsfvMoG7n8mN2A1m9k00wn95uSA0Jo4rIqI=";
    assert_eq!(header(&usual, "webhook-signature"), first);
    let again = shaped(&samples::event(), &subscription, 2).unwrap();
    assert_eq!(again.body, usual.body);
    assert_ne!(header(&again, "webhook-signature"), first);

    let identity = &mut subscription.form.identity;
    identity.id = Some(HeaderName::from_static("acme-id"));
    let own = shaped(&samples::event(), &subscription, 1).unwrap();
    assert_eq!(header(&own, "acme-signature"), first);
    assert!(!own.headers.contains_key("webhook-signature"));
    assert!(!own.headers.contains_key("webhook-id"));
}

/// Made with Python's `hmac`; the form is that of docs/WIRE-FORMS.md.
#[test]
fn sensepass_signs_the_random_key_and_the_body() {
    let mut subscription = samples::subscription();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"sensepass-secret");
    subscription.signing = Signing::SensepassHmac(Box::new(key));
    for (attempt, random_key, signature) in [
        (
            1,
            "01010101010101010101010101010101",
            "19d213606fe4785ecdb27e7e66ae8a2abc98948e365805dd01b5b8606b09cb66",
        ),
        (
            2,
            "02020202020202020202020202020202",
            "aa328b9cf5e12c1caa4cb02fa35e46a2922535bd9863641ca1ae0d941d138d7d",
        ),
    ] {
        let request = shaped(&samples::event(), &subscription, attempt).unwrap();
        assert_eq!(header(&request, "hmac-random-key"), random_key);
        assert_eq!(header(&request, "hmac-authorization"), signature);
    }
    // A GET has an empty body.
    subscription.form.method = Method::Get;
    subscription.form.fields = Some(vec![literal("a", "b")]);
    let request = shaped(&samples::event(), &subscription, 1).unwrap();
    assert_eq!(
        header(&request, "hmac-authorization"),
        "d647977c3225feb231b807ad22e900a9b0aeb8adf8e4103ada99af0d9b44e77f"
    );
}
