//! The grant "client credentials" on the wire (RFC 6749, section 4.4): one POST, and what
//! its answer means.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use form_urlencoded::Serializer;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde_json::Value;

use super::slot::Token;
use crate::model::subscription::{ClientAuth, OAuth2Client};
use crate::model::{Answer, Spelling};
use crate::send::answer::Reading;
use crate::send::failure::Failure;
use crate::send::http1::{Client, Trace};
use crate::send::request::on_the_wire;
use crate::shape::{PRODUCT, Request};

/// Far above any token server's answer.
const ANSWER_CAP: usize = 64 * 1024;

/// Receivers refuse headers that are longer, and a token is held for each subscription.
const LONGEST_TOKEN: usize = 16 * 1024;

/// What may be shown of an answer that says no: these words and no others, for a token
/// server could put the secret into its text (RFC 6749, sections 4.1.2.1 and 5.2; RFC 8707).
const ERROR_CODES: &[&str] = &[
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// Asks for a token. Nothing is sent before the future is polled.
pub(super) fn exchange(
    http: Client,
    client: &OAuth2Client,
    asked_at: Instant,
) -> impl Future<Output = Result<Token, Failure>> + use<> {
    let request = request(client);
    let sent_in = client.sent_in;
    async move {
        let mut request = request?;
        let message = on_the_wire(&mut request)?;
        // To ask twice does no harm: it is a token more.
        let asked = http.ask(&message, true, &mut Trace::default()).await?;
        let (head, connection) = asked;
        let mut reading = Reading::of(head, connection, ANSWER_CAP + 1);
        reading.read_on().await?;
        let answer = reading.answer(&request.url, None);
        reading.give_back(&http, &message);
        token(&answer, sent_in, asked_at)
    }
}

fn request(client: &OAuth2Client) -> Result<Request, Failure> {
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if client.sent_in == ClientAuth::Basic {
        let value = Zeroizing::new(format!("Basic {}", *basic(client)));
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| Failure::token(false, "the client's credentials fit in no header"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(Request {
        method: Method::POST,
        url: client.token_url.clone(),
        headers,
        spelling: Spelling::default(),
        body: body(client).into(),
    })
}

/// The credentials of a client as a header carries them. Both parts are form-encoded before they
/// are joined (RFC 6749, section 2.3.1), so that a colon in either is no end.
fn basic(client: &OAuth2Client) -> Zeroizing<String> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let id: String = encoded(&client.id);
    let secret: Zeroizing<String> = Zeroizing::new(encoded(client.secret.expose_secret()));
    let joined = Zeroizing::new(format!("{id}:{}", *secret));
    Zeroizing::new(BASE64_STANDARD.encode(joined.as_bytes()))
}

fn body(client: &OAuth2Client) -> String {
    let mut body = Serializer::new(String::new());
    body.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &client.scope {
        body.append_pair("scope", scope);
    }
    if let Some(audience) = &client.audience {
        body.append_pair("audience", audience);
    }
    if client.sent_in == ClientAuth::Body {
        body.append_pair("client_id", &client.id);
        body.append_pair("client_secret", client.secret.expose_secret());
    }
    body.finish()
}

/// RFC 6749, section 5.1; what is not named is of no concern.
#[derive(Deserialize)]
struct Granted {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Value>,
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Denied {
    error: Option<String>,
}

fn token(answer: &Answer, sent_in: ClientAuth, asked_at: Instant) -> Result<Token, Failure> {
    let status = answer.status;
    if !(200..300).contains(&status) {
        return Err(denied(answer, sent_in));
    }
    let not_a_token = |what: &str| Failure::token(false, format!("{status}, but {what}"));
    if answer.body.len() > ANSWER_CAP {
        let what = format!("the answer is longer than {ANSWER_CAP} bytes");
        return Err(not_a_token(&what));
    }
    let granted: Granted = serde_json::from_slice(&answer.body)
        .map_err(|_| not_a_token("the answer is not the JSON of a token"))?;
    // It is required, and yet left out by some; a token of another type says so.
    let token_type = granted.token_type.as_deref().unwrap_or("bearer");
    if !token_type.eq_ignore_ascii_case("bearer") {
        return Err(not_a_token("the token's type is not bearer"));
    }
    let Some(token) = granted.access_token.map(Zeroizing::new) else {
        return Err(not_a_token("the answer has no access_token"));
    };
    if token.is_empty()
        || token.len() > LONGEST_TOKEN
        || !token.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(not_a_token("the access_token fits in no header"));
    }
    let text = Zeroizing::new(format!("Bearer {}", *token));
    let mut bearer = HeaderValue::from_str(&text)
        .map_err(|_| not_a_token("the access_token fits in no header"))?;
    bearer.set_sensitive(true);
    Ok(Token::new(
        bearer,
        granted.expires_in.as_ref().and_then(life),
        asked_at,
    ))
}

/// Seconds, as a number or, by some, as text; less than none is none.
fn life(expires_in: &Value) -> Option<Duration> {
    let seconds = expires_in
        .as_f64()
        .or_else(|| expires_in.as_str()?.trim().parse().ok())?;
    Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
}

/// Some token servers take the client's credentials in one of the two places alone, and tell
/// it no better than so (RFC 6749, section 2.3.1).
fn denied(answer: &Answer, sent_in: ClientAuth) -> Failure {
    let status = answer.status;
    if (300..400).contains(&status) {
        return Failure::token(false, format!("{status}, and redirects are not followed"));
    }
    let denied: Option<Denied> = serde_json::from_slice(&answer.body).ok();
    let said = denied.and_then(|denied| denied.error).unwrap_or_default();
    let code = ERROR_CODES.iter().copied().find(|code| *code == said);
    let refused = matches!(status, 401 | 403) || code == Some("invalid_client");
    let usual = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let mut cause = match code.or(usual) {
        Some(words) => format!("{status} {words}"),
        None => status.to_string(),
    };
    if status == 401 || matches!(code, Some("invalid_client" | "invalid_request")) {
        cause.push_str(match sent_in {
            ClientAuth::Basic => {
                "; if the credentials are right, try oauth2_client_auth = \"body\""
            }
            ClientAuth::Body => {
                "; if the credentials are right, try oauth2_client_auth = \"basic\""
            }
        });
    }
    Failure::token(refused, cause)
}
