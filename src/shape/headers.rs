//! The headers that say which event this is, and who sends it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use secrecy::ExposeSecret;

use super::{Moment, Unsendable};
use crate::model::{Auth, Event, Spelling, Subscription};

/// What a request says of its sender where nothing else is set: the value of `User-Agent`.
pub const PRODUCT: &str = concat!("Posthorn/", env!("CARGO_PKG_VERSION"));

/// For how many headers there is room at once: with what others add, most requests have fewer.
const ROOM: usize = 16;

/// Makes a request's headers, all but the content type and the signature.
pub fn of(
    event: &Event,
    subscription: &Subscription,
    moment: &Moment<'_>,
) -> Result<HeaderMap, Unsendable> {
    let mut headers = HeaderMap::with_capacity(ROOM);
    let form = &subscription.form;
    let product = || HeaderValue::from_static(PRODUCT);
    headers.insert(USER_AGENT, form.user_agent.clone().unwrap_or_else(product));
    if form.asks_for_identity {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    for fixed in &form.fixed {
        headers.insert(&fixed.name, fixed.value.clone());
    }
    let identity = &form.identity;
    // The id is the same at every attempt, and for a replay too, so that a receiver can
    // leave out repeats (invariant 5, WIRE.md 4.5).
    for (name, value) in [
        (&identity.id, event.id.to_string()),
        (&identity.timestamp, moment.now.timestamp().to_string()),
        (&identity.attempt, moment.attempt.to_string()),
    ] {
        if let Some(name) = name {
            headers.insert(name, header_value(name, &value)?);
        }
    }
    authenticate(&mut headers, subscription.auth_by(moment.credential))?;
    Ok(headers)
}

/// How the names of headers are written that somebody chose.
pub fn spelling(subscription: &Subscription, moment: &Moment<'_>) -> Spelling {
    let mut spelling = subscription.form.identity.spelling.clone();
    if let Auth::ApiKey { header, .. } = subscription.auth_by(moment.credential) {
        spelling.keep(header.as_str());
    }
    spelling
}

fn authenticate(headers: &mut HeaderMap, auth: &Auth) -> Result<(), Unsendable> {
    match auth {
        // A bearer token is had at the moment of sending.
        Auth::None | Auth::OAuth2(_) => {}
        Auth::Basic(credentials) => {
            // RFC 7617: `user:password` as it stands, in base64.
            let token = BASE64_STANDARD.encode(credentials.expose_secret());
            let value = format!("Basic {token}");
            headers.insert(AUTHORIZATION, secret_value(&AUTHORIZATION, &value)?);
        }
        Auth::ApiKey { header, value, .. } => {
            let name =
                HeaderName::from_bytes(header.as_bytes()).map_err(|_| Unsendable::HeaderName)?;
            let value = secret_value(&name, value.expose_secret())?;
            headers.insert(name, value);
        }
    }
    Ok(())
}

/// Makes a header's value that no log of the HTTP client shows.
fn secret_value(name: &HeaderName, text: &str) -> Result<HeaderValue, Unsendable> {
    let mut value = header_value(name, text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Makes a header's value: any bytes but control characters (RFC 9110, section 5.5).
fn header_value(name: &HeaderName, text: &str) -> Result<HeaderValue, Unsendable> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Unsendable::HeaderValue {
        header: name.to_string(),
    })
}
