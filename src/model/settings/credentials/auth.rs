//! What the secret of each kind of auth must look like.

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::super::headers::is_reserved;
use super::oauth2::Grant;
use crate::model::Auth;
use crate::model::subscription::OAuth2Client;

/// RFC 7617, section 2: a user name without a colon, and no control characters.
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

/// WIRE.md 4.3: `header:value`, or `value` alone for `authorization`.
pub(super) fn api_key(text: &SecretString) -> Result<Auth, &'static str> {
    let text = text.expose_secret();
    let (header, value) = text.split_once(':').unwrap_or(("Authorization", text));
    let written = header.trim();
    let header = HeaderName::from_bytes(written.as_bytes()).map_err(
        |_| "has no header name before the colon; write header:value, or authorization:value where the value has a colon",
    )?;
    if is_reserved(&header) {
        return Err("names a header that the request needs for itself; write another header");
    }
    let value = value.trim();
    if value.is_empty() || HeaderValue::from_str(value).is_err() {
        return Err(
            "has no value that a header can carry; write header:value in ASCII on one line",
        );
    }
    Ok(Auth::ApiKey {
        header: written.to_owned(),
        value: SecretString::from(value),
    })
}

/// `client_id:client_secret`. A colon within the id would have to be form-encoded anyway,
/// and no token server gives one out.
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
