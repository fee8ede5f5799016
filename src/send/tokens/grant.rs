//! The grant "client credentials" on the wire (RFC 6749, section 4.4): one POST, and what
//! its answer means.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use form_urlencoded::Serializer;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use serde::Deserialize;
use serde_json::Value;

use super::slot::Token;
use crate::model::Answer;
use crate::model::subscription::{ClientAuth, OAuth2Client};
use crate::send::answer;
use crate::send::clients::Client;
use crate::send::failure::Failure;
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
    async move {
        let (request, url) = on_the_wire(request?)?;
        let response = http.request(request).await?;
        let answer = answer::read(response, &url, ANSWER_CAP + 1).await?;
        token(&answer, asked_at)
    }
}

fn request(client: &OAuth2Client) -> Result<Request, Failure> {
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
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
        body: body(client).into(),
    })
}

/// Both parts are form-encoded before they are joined (RFC 6749, section 2.3.1), so that a
/// colon in either is no end.
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

fn token(answer: &Answer, asked_at: Instant) -> Result<Token, Failure> {
    let status = answer.status;
    if !(200..300).contains(&status) {
        return Err(denied(answer));
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

fn denied(answer: &Answer) -> Failure {
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
    let cause = match code.or(usual) {
        Some(words) => format!("{status} {words}"),
        None => status.to_string(),
    };
    Failure::token(refused, cause)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn client(sent_in: ClientAuth) -> OAuth2Client {
        OAuth2Client {
            token_url: "https://auth.example/token?tenant=7".parse().unwrap(),
            id: "a:b c".to_owned(),
            secret: "s&e=c%r+é".into(),
            sent_in,
            scope: Some("hook:write hook:read".to_owned()),
            audience: Some("https://api.example/".to_owned()),
        }
    }

    fn parts(client: &OAuth2Client) -> (HeaderMap, String) {
        let request = request(client).unwrap();
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        (request.headers, body)
    }

    fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer {
            status,
            reason: String::new(),
            body: body.into(),
            retry_after: None,
            redirects_to: None,
        }
    }

    #[test]
    fn id_and_secret_are_form_encoded_in_the_header() {
        let (headers, body) = parts(&client(ClientAuth::Basic));
        let value = headers[AUTHORIZATION].to_str().unwrap();
        let decoded = BASE64_STANDARD.decode(value.strip_prefix("Basic ").unwrap());
        let decoded = String::from_utf8(decoded.unwrap()).unwrap();
        assert_eq!(decoded, "a%3Ab+c:s%26e%3Dc%25r%2B%C3%A9");
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert_eq!(
            body,
            "grant_type=client_credentials&scope=hook%3Awrite+hook%3Aread\
             &audience=https%3A%2F%2Fapi.example%2F"
        );
        assert_eq!(headers[CONTENT_TYPE], "application/x-www-form-urlencoded");
    }

    #[test]
    fn or_they_stand_in_the_body() {
        let (headers, body) = parts(&client(ClientAuth::Body));
        assert!(!headers.contains_key(AUTHORIZATION));
        assert!(
            body.ends_with("&client_id=a%3Ab+c&client_secret=s%26e%3Dc%25r%2B%C3%A9"),
            "{body}"
        );
    }

    #[test]
    fn a_token_is_read_in_each_of_its_forms() {
        for body in [
            r#"{"access_token":"a.b-c","token_type":"Bearer","expires_in":3600}"#,
            r#"{"access_token":"a.b-c","token_type":"BEARER","expires_in":"3600"}"#,
            r#"{"access_token":"a.b-c","token_type":"bearer","expires_in":null}"#,
            r#"{"access_token":"a.b-c","expires_in":-1,"scope":"x","more":[{}]}"#,
            r#"{"access_token":"a.b-c","token_type":"bearer","expires_in":1e300}"#,
        ] {
            let token = token(&answer(200, body), Instant::now()).unwrap();
            assert_eq!(token.bearer, "Bearer a.b-c", "{body}");
            assert!(token.bearer.is_sensitive());
        }
    }

    #[test]
    fn what_is_no_token_says_why_and_never_quotes_the_answer() {
        let long = |of: usize| format!("{{\"access_token\":\"{}\"}}", "x".repeat(of));
        for (status, body, refused, cause) in [
            (
                401,
                r#"{"error":"invalid_client"}"#.to_owned(),
                true,
                "401 invalid_client",
            ),
            (
                400,
                r#"{"error":"invalid_client"}"#.to_owned(),
                true,
                "400 invalid_client",
            ),
            (
                400,
                r#"{"error":"invalid_scope"}"#.to_owned(),
                false,
                "400 invalid_scope",
            ),
            (
                400,
                r#"{"error":"hunter2"}"#.to_owned(),
                false,
                "400 Bad Request",
            ),
            (403, "hunter2".to_owned(), true, "403 Forbidden"),
            (503, String::new(), false, "503 Service Unavailable"),
            (599, String::new(), false, "599"),
            (
                302,
                String::new(),
                false,
                "302, and redirects are not followed",
            ),
            (
                200,
                "hunter2".to_owned(),
                false,
                "200, but the answer is not the JSON of a token",
            ),
            (
                200,
                "{}".to_owned(),
                false,
                "200, but the answer has no access_token",
            ),
            (
                200,
                r#"{"access_token":"hunter2","token_type":"mac"}"#.to_owned(),
                false,
                "200, but the token's type is not bearer",
            ),
            (
                200,
                r#"{"access_token":"hunter2\r\nX: y"}"#.to_owned(),
                false,
                "200, but the access_token fits in no header",
            ),
            (
                200,
                long(17_000),
                false,
                "200, but the access_token fits in no header",
            ),
            (
                200,
                long(70_000),
                false,
                "200, but the answer is longer than 65536 bytes",
            ),
        ] {
            let failure = token(&answer(status, body), Instant::now()).unwrap_err();
            assert_eq!(failure.cause, cause);
            assert_eq!(failure.class, crate::model::FailureClass::Token { refused });
        }
    }
}
