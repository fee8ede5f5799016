//! The headers that tell which message this is, and the ones that nobody may choose.

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::problem::note;
use super::{Problem, Settings, defaults, quoted};
use crate::model::subscription::IdentityHeaders;
use crate::model::{Auth, Signing, Spelling};

/// The headers that HTTP itself writes, or that a connection or proxy on the way would obey (RFC
/// 9110, sections 7.2 and 7.6.1; RFC 9112, section 9.6). No setting and no data may choose these.
pub const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that the engine or a signature writes; a chosen header in the place of one of
/// them would break the request.
const OURS: &[&str] = &[
    "accept-encoding",
    "hmac-authorization",
    "hmac-random-key",
    "user-agent",
    "webhook-signature",
];

/// Whether neither an API key nor an identity header may have this name.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("content-") || OF_THE_CONNECTION.contains(&name) || OURS.contains(&name)
}

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Option<IdentityHeaders> {
    let given = [
        ("id_header", &settings.id_header, defaults::ID_HEADER),
        (
            "timestamp_header",
            &settings.timestamp_header,
            defaults::TIMESTAMP_HEADER,
        ),
        (
            "attempt_header",
            &settings.attempt_header,
            defaults::ATTEMPT_HEADER,
        ),
    ];
    let texts = given.iter().filter_map(|(_, text, _)| text.as_deref());
    let spelling = spelling(texts.filter(|text| *text != "none"));
    let mut chosen: Vec<(&'static str, Option<HeaderName>)> = Vec::with_capacity(given.len());
    for (key, text, default) in given {
        let name = match text {
            None => Ok(Some(default)),
            Some(text) => name(text),
        };
        let name = note(key, name, problems)?;
        let other = name.as_ref().and_then(|name| {
            let mut others = chosen.iter();
            others.find(|(_, other)| other.as_ref() == Some(name))
        });
        if let Some((other, _)) = other {
            problems.push(Problem::new(
                key,
                format!("the same header as {other}; give another name, or \"none\""),
            ));
            return None;
        }
        chosen.push((key, name));
    }
    let mut names = chosen.into_iter().map(|(_, name)| name);
    Some(IdentityHeaders {
        id: names.next()?,
        timestamp: names.next()?,
        attempt: names.next()?,
        spelling,
    })
}

/// How the names that were chosen are written, and with an id's name that of its signature.
fn spelling<'a>(chosen: impl Iterator<Item = &'a str>) -> Spelling {
    let mut spelling = Spelling::default();
    for name in chosen {
        spelling.keep(name);
        for (id, signature) in [
            ("-id", "-signature"),
            ("-Id", "-Signature"),
            ("-ID", "-SIGNATURE"),
        ] {
            if let Some(family) = name.strip_suffix(id) {
                spelling.keep(format!("{family}{signature}"));
            }
        }
    }
    spelling
}

fn name(text: &str) -> Result<Option<HeaderName>, String> {
    if text == "none" {
        return Ok(None);
    }
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        format!(
            "{} is not a header's name; give one of letters, digits and -, or \"none\"",
            quoted(text)
        )
    })?;
    if is_reserved(&name) || name == AUTHORIZATION {
        return Err(format!(
            "{name} is a header that the request needs for itself; give another name, or \"none\""
        ));
    }
    Ok(Some(name))
}

/// Refuses an API key in the place of a header that tells of the event: the key's header is known
/// only when the secret is read.
pub(super) fn refuse_a_key_in_their_place(
    auth: &Auth,
    identity: &IdentityHeaders,
    signing: &Signing,
    problems: &mut Vec<Problem>,
) {
    let Auth::ApiKey { header, .. } = auth else {
        return;
    };
    let taken = identity.taken(matches!(signing, Signing::StandardWebhooks(_)));
    let is_header = |name: &HeaderName| name.as_str().eq_ignore_ascii_case(header);
    if taken.iter().any(is_header) {
        problems.push(Problem::new(
            "auth_secret",
            "the API key's header is one that id_header, timestamp_header, attempt_header or \
             signing needs for itself; write another header, or give theirs another name",
        ));
    }
}
