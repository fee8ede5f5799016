//! The messages of the vendors' own pages, through the profiles that come with Posthorn:
//! whole requests, byte for byte.

mod alphatrust;
mod idpay;
mod instamed;
mod sensepass;
mod standard;

use std::fmt::Write;

use secrecy::SecretSlice;
use uuid::Uuid;

use super::*;
use crate::config::builtin_profiles;
use crate::model::settings::resolve;
use crate::model::{Identity, Settings};

/// A subscription of the profile for `url`, with what `change` sets on top. Each secret is
/// what its reference says behind `file:`.
fn subscription(profile: &str, url: &str, change: impl FnOnce(&mut Settings)) -> Subscription {
    let mut own = Settings {
        url: Some(url.to_owned()),
        ..Settings::default()
    };
    change(&mut own);
    let profile = builtin(profile);
    let identity = Identity {
        id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00aa),
        ..Identity::unwritten("acme", "orders")
    };
    resolve(identity, &own.or(&profile), &|from| {
        let reference = from.to_string();
        let secret = reference.strip_prefix("file:").unwrap();
        Ok(SecretSlice::from(secret.as_bytes().to_vec()))
    })
    .unwrap()
}

/// What the profile itself says.
fn builtin(name: &str) -> Settings {
    let mut profiles = builtin_profiles().into_iter();
    profiles
        .find(|it| it.head["name"] == name)
        .unwrap()
        .settings
}

/// The setting as people write it.
#[expect(clippy::unnecessary_wraps, reason = "what a setting holds")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The request as it travels, but for the headers that every request has: they are checked
/// here. Headers by name.
fn wire(request: &Request) -> String {
    let path = &request.url[url::Position::BeforePath..];
    let mut text = format!("{} {path}\n", request.method);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(header(request, "user-agent"), format!("Posthorn/{version}"));
    let mut names: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(header(request, "accept-encoding"), "identity");
    names.retain(|name| !["accept-encoding", "user-agent"].contains(name));
    names.sort_unstable();
    for name in names {
        writeln!(text, "{name}: {}", header(request, name)).unwrap();
    }
    text.push('\n');
    text + std::str::from_utf8(&request.body).unwrap()
}

/// The headers that tell of the first attempt of the sample event.
const FIRST: &str = "webhook-attempt: 1\n\
                     webhook-id: 01900000-0000-7000-8000-000000000001\n\
                     webhook-timestamp: 1772366400\n";

const JSON: &str = "content-type: application/json\n";
const FORM: &str = "content-type: application/x-www-form-urlencoded\n";
const XML: &str = "content-type: application/xml; charset=utf-8\n";
