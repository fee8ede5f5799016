//! What the secret of each kind of auth must look like.

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::super::headers::is_reserved;
use super::oauth2::Grant;
use crate::model::Auth;
use crate::model::subscription::OAuth2Client;

/// Reads a user name and a password: the name has no colon, and neither has control characters (RFC
/// 7617, section 2).
pub(super) fn basic(text: SecretString) -> Result<Auth, &'static str> {
    let exposed = text.expose_secret();
    if exposed.chars().any(char::is_control) {
        return Err("has a control character or a second line; write user:password on one line");
    }
    if !exposed.contains(':') {
        return Err("has no colon; write user:password");
    }
    Ok(Auth::Basic(text))
}

/// Reads an API key: the value of the header that the settings name, whatever is in it. Without
/// such a name, `header:value`, or `value` alone for `authorization` (WIRE.md 4.3).
pub(super) fn api_key(secret: &SecretString, named: Option<&str>) -> Result<Auth, &'static str> {
    let text = secret.expose_secret();
    let (written, value) = match (named, text.split_once(':')) {
        (Some(named), _) => (named, text),
        (None, Some((name, value))) => (name.trim(), value),
        (None, None) => ("Authorization", text),
    };
    let header = HeaderName::from_bytes(written.as_bytes()).map_err(
        |_| "has no header name before the colon; write header:value, or give auth_header, such as \"authorization\", where all of it is the value",
    )?;
    if is_reserved(&header) {
        return Err("names a header that the request needs for itself; write another header");
    }
    let is_guess = named.is_none() && text.contains(':') && !is_usual(&header);
    let value = value.trim();
    if value.is_empty() || HeaderValue::from_str(value).is_err() {
        return Err(
            "has no value that a header can carry; write header:value in ASCII on one line",
        );
    }
    Ok(Auth::ApiKey {
        header: written.to_owned(),
        value: SecretString::from(value),
        guessed_from: is_guess.then(|| secret.clone()),
    })
}

/// Whether a header of this name is sure to be meant as one: keys have parts such as `live1` before
/// a colon too.
fn is_usual(header: &HeaderName) -> bool {
    let name = header.as_str();
    let mut words = name.split(['-', '_']);
    name.starts_with("x-")
        || !name.contains(|c: char| c.is_ascii_digit())
            && words.any(|word| {
                word.starts_with("auth")
                    || ["apikey", "key", "secret", "signature", "token"].contains(&word)
            })
}

/// Reads `client_id:client_secret`. A colon within the id would have to be form-encoded anyway, and
/// no token server gives one out.
pub(super) fn oauth2(text: &SecretString, grant: &Grant) -> Result<Auth, &'static str> {
    const REMEDY: &str = "has no id and secret with a colon between; write client_id:client_secret";
    let text = text.expose_secret();
    if text.chars().any(char::is_control) {
        return Err(
            "has a control character or a second line; write client_id:client_secret on one line",
        );
    }
    let (id, secret) = text.split_once(':').ok_or(REMEDY)?;
    if id.is_empty() || secret.is_empty() {
        return Err(REMEDY);
    }
    Ok(Auth::OAuth2(Box::new(OAuth2Client {
        token_url: grant.token_url.clone(),
        id: id.to_owned(),
        secret: SecretString::from(secret),
        sent_in: grant.sent_in,
        scope: grant.scope.clone(),
        audience: grant.audience.clone(),
    })))
}
