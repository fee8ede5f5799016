//! The headers by which a receiver checks who sent a request and that it arrived whole.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use super::{Moment, Request};
use crate::model::{Event, Signing, SigningKey, Subscription};

/// The header of `SensePass`'s signature, as the vendor's page writes it.
const SENSEPASS_SIGNATURE: &str = "HMAC-Authorization";
const SENSEPASS_RANDOM_KEY: &str = "HMAC-Random-Key";

/// Signs the finished request.
pub fn sign(
    request: &mut Request,
    event: &Event,
    subscription: &Subscription,
    moment: &Moment<'_>,
) {
    match &subscription.signing {
        Signing::None => {}
        Signing::StandardWebhooks(keys) => {
            let id = event.id.to_string();
            let value = standard_webhooks(&id, moment.now.timestamp(), &request.body, keys);
            // The settings' check demands an id header that gives it its name.
            if let Some(name) = subscription.form.identity.signature() {
                insert(&mut request.headers, name, &value);
            }
        }
        Signing::SensepassHmac(key) => {
            let random_key = hex(&moment.nonce);
            let value = sensepass(&random_key, &request.body, key);
            for (name, value) in [
                (SENSEPASS_RANDOM_KEY, &random_key),
                (SENSEPASS_SIGNATURE, &value),
            ] {
                if let Ok(known) = HeaderName::try_from(name) {
                    insert(&mut request.headers, known, value);
                }
                request.spelling.keep(name);
            }
        }
    }
}

/// Makes the signatures of Standard Webhooks 1.0.0 ("Signature scheme"): one of `id.timestamp.body`
/// by each key, separated by spaces.
pub fn standard_webhooks(id: &str, timestamp: i64, body: &[u8], keys: &[SigningKey]) -> String {
    let mut message = format!("{id}.{timestamp}.").into_bytes();
    message.extend_from_slice(body);
    let signatures = keys.iter().map(|key| match key {
        SigningKey::Symmetric(key) => {
            format!("v1,{}", BASE64_STANDARD.encode(hmac::sign(key, &message)))
        }
        SigningKey::Asymmetric(pair) => {
            format!("v1a,{}", BASE64_STANDARD.encode(pair.sign(&message)))
        }
    });
    signatures.collect::<Vec<_>>().join(" ")
}

/// Makes the signature of `SensePass`'s public page "Callback", HMAC verification steps. It leaves
/// open which of the two comes first and how the result is written: docs/WIRE-FORMS.md.
fn sensepass(random_key: &str, body: &[u8], key: &hmac::Key) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(random_key.as_bytes());
    context.update(body);
    hex(context.sign().as_ref())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Adds a header whose value is base64, hexadecimal digits, commas and spaces, which are all legal
/// there.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
