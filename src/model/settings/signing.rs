//! How requests are signed. Checking the references needs no secret; opening them reads
//! each once.

use std::sync::Arc;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::hmac;
use ring::signature::Ed25519KeyPair;
use secrecy::{ExposeSecret, SecretSlice};

use super::credentials::{NO_REFERENCE, content};
use super::problem::{choose, note};
use super::{Problem, Settings};
use crate::model::secret::{ReadSecret, SecretRef};
use crate::model::subscription::RequestForm;
use crate::model::{Method, Signing, SigningKey};

/// How long a symmetric key may be, in bytes: 192 to 512 bits (Standard Webhooks, "Signature
/// scheme").
const SYMMETRIC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// How long the seed of an ed25519 key is, in bytes; some have the public key behind it (RFC 8032).
const SEED_BYTES: usize = 32;

/// The base64 of keys as people paste it: the standard alphabet, with or without the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) const STANDARD_WEBHOOKS: &str = "standard_webhooks";

#[derive(Clone, Copy, PartialEq)]
enum Scheme {
    None,
    StandardWebhooks,
    SensepassHmac,
}

/// The references of a subscription's signing keys, checked but not read.
pub(super) struct SigningSettings {
    scheme: Scheme,
    secrets: Vec<SecretRef>,
}

pub(super) fn check(
    settings: &Settings,
    form: Option<&RequestForm>,
    problems: &mut Vec<Problem>,
) -> Option<SigningSettings> {
    let scheme = choose(
        "signing",
        settings.signing.as_deref(),
        &[
            ("none", Scheme::None),
            (STANDARD_WEBHOOKS, Scheme::StandardWebhooks),
            ("sensepass_hmac", Scheme::SensepassHmac),
        ],
        Scheme::None,
        problems,
    )?;
    let before = problems.len();
    let mut refuse = |key, message: &str| problems.push(Problem::new(key, message));
    match &settings.signing_secrets {
        None if scheme != Scheme::None => refuse(
            "signing_secrets",
            "missing, and signing needs a key; give [\"env:NAME\"] or [\"file:PATH\"]",
        ),
        Some(_) if settings.signing.is_none() => refuse(
            "signing",
            "missing, and signing_secrets is given; give \"standard_webhooks\" or \"sensepass_hmac\"",
        ),
        Some(secrets) if secrets.is_empty() => refuse(
            "signing_secrets",
            "an empty list; give [\"env:NAME\"] or [\"file:PATH\"], or leave it out",
        ),
        Some(secrets) if scheme == Scheme::SensepassHmac && secrets.len() > 1 => refuse(
            "signing_secrets",
            "several keys, and sensepass_hmac has room for one signature; give one",
        ),
        _ => {}
    }
    if let (Scheme::StandardWebhooks, Some(form)) = (scheme, form) {
        standard_webhooks_fits(form, &mut refuse);
    }
    let secrets = settings.signing_secrets.iter().flatten();
    let secrets: Vec<_> = secrets
        .enumerate()
        .filter_map(|(index, text)| entry(index, text, problems))
        .collect();
    (problems.len() == before).then_some(SigningSettings { scheme, secrets })
}

/// Reads the reference of one entry. A message names the entry by its place: it is most likely the
/// secret itself.
fn entry(index: usize, text: &str, problems: &mut Vec<Problem>) -> Option<SecretRef> {
    let reference =
        SecretRef::parse(text).ok_or_else(|| format!("entry {} is {NO_REFERENCE}", index + 1));
    note("signing_secrets", reference, problems)
}

/// Refuses a form without what the signature covers: id, timestamp and body.
fn standard_webhooks_fits(form: &RequestForm, refuse: &mut impl FnMut(&'static str, &str)) {
    if form.method == Method::Get {
        refuse(
            "signing",
            "\"standard_webhooks\" with method GET, which has no body to sign; give method = \"POST\", or signing = \"none\"",
        );
    }
    if form.identity.timestamp.is_none() {
        refuse(
            "timestamp_header",
            "\"none\", and standard_webhooks signs the time; give a header's name",
        );
    }
    let identity = &form.identity;
    match (&identity.id, identity.signature()) {
        (None, _) => refuse(
            "id_header",
            "\"none\", and standard_webhooks signs the id; give a header's name",
        ),
        (Some(_), None) => refuse(
            "id_header",
            "a name that does not end in -id, from which standard_webhooks makes its signature's header; give one such as \"webhook-id\"",
        ),
        (Some(_), signature) => {
            for (key, name) in [
                ("timestamp_header", &identity.timestamp),
                ("attempt_header", &identity.attempt),
            ] {
                if *name == signature {
                    refuse(
                        key,
                        "the name of standard_webhooks' own signature header; give another",
                    );
                }
            }
        }
    }
}

impl SigningSettings {
    pub fn open(&self, read: &ReadSecret<'_>, problems: &mut Vec<Problem>) -> Option<Signing> {
        if self.scheme == Scheme::None {
            return Some(Signing::None);
        }
        let before = problems.len();
        let mut secrets = Vec::with_capacity(self.secrets.len());
        for from in &self.secrets {
            let secret = read(from).map_err(|error| error.to_string());
            secrets.extend(note("signing_secrets", secret, problems).map(|it| (from, it)));
        }
        let signing = if self.scheme == Scheme::SensepassHmac {
            let (_, secret) = secrets.first()?;
            // As it stands: the vendor's pages give it no other form.
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret());
            Signing::SensepassHmac(Box::new(key))
        } else {
            let keys = secrets.into_iter().filter_map(|(from, secret)| {
                note("signing_secrets", content(from, key(&secret)), problems)
            });
            Signing::StandardWebhooks(keys.collect())
        };
        (problems.len() == before).then_some(signing)
    }
}

/// Reads a key in base64 behind `whsec_` or `whsk_` (Standard Webhooks, "Signature scheme").
fn key(secret: &SecretSlice<u8>) -> Result<SigningKey, &'static str> {
    let secret = secret.expose_secret();
    if let Some(encoded) = secret.strip_prefix(b"whsec_") {
        let key = decoded(encoded)?;
        let key = key.expose_secret();
        if !SYMMETRIC_BYTES.contains(&key.len()) {
            return Err(
                "is a whsec_ key that is not 24 to 64 bytes long; make one of 32 random bytes",
            );
        }
        return Ok(SigningKey::Symmetric(hmac::Key::new(
            hmac::HMAC_SHA256,
            key,
        )));
    }
    if let Some(encoded) = secret.strip_prefix(b"whsk_") {
        return ed25519(decoded(encoded)?.expose_secret());
    }
    if secret.starts_with(b"whpk_") {
        return Err("is a public key, whpk_, which cannot sign; give the private one, whsk_");
    }
    Err("starts with neither whsec_ nor whsk_; write the key in base64 behind one of them")
}

fn ed25519(key: &[u8]) -> Result<SigningKey, &'static str> {
    let pair = match key.split_at_checked(SEED_BYTES) {
        Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
        Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
        None => return Err("is a whsk_ key that is shorter than 32 bytes; give the ed25519 seed"),
    };
    pair.map(|pair| SigningKey::Asymmetric(Arc::new(pair)))
        .map_err(|_| {
            "is a whsk_ key that is neither an ed25519 seed of 32 bytes nor a seed with its public key behind it, 64 bytes"
        })
}

fn decoded(encoded: &[u8]) -> Result<SecretSlice<u8>, &'static str> {
    let decoded = BASE64.decode(encoded);
    decoded
        .map(SecretSlice::from)
        .map_err(|_| "is not base64 behind its prefix; write the key on one line, without spaces")
}
