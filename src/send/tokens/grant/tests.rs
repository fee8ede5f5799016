use bytes::Bytes;

use super::*;

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
        body: body.into(),
        ..Answer::default()
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
        let token = token(&answer(200, body), ClientAuth::Basic, Instant::now()).unwrap();
        assert_eq!(token.bearer, "Bearer a.b-c", "{body}");
        assert!(token.bearer.is_sensitive());
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table of cases")]
fn what_is_no_token_says_why_and_never_quotes_the_answer() {
    let long = |of: usize| format!("{{\"access_token\":\"{}\"}}", "x".repeat(of));
    for (status, body, refused, cause) in [
        (
            401,
            r#"{"error":"invalid_client"}"#,
            true,
            "401 invalid_client; if the credentials are right, try oauth2_client_auth = \"body\"",
        ),
        (
            400,
            r#"{"error":"invalid_client"}"#,
            true,
            "400 invalid_client; if the credentials are right, try oauth2_client_auth = \"body\"",
        ),
        (
            400,
            r#"{"error":"invalid_scope"}"#,
            false,
            "400 invalid_scope",
        ),
        (400, r#"{"error":"hunter2"}"#, false, "400 Bad Request"),
        (403, "hunter2", true, "403 Forbidden"),
        (503, "", false, "503 Service Unavailable"),
        (599, "", false, "599"),
        (302, "", false, "302, and redirects are not followed"),
        (
            200,
            "hunter2",
            false,
            "200, but the answer is not the JSON of a token",
        ),
        (200, "{}", false, "200, but the answer has no access_token"),
        (
            200,
            r#"{"access_token":"hunter2","token_type":"mac"}"#,
            false,
            "200, but the token's type is not bearer",
        ),
        (
            200,
            r#"{"access_token":"hunter2\r\nX: y"}"#,
            false,
            "200, but the access_token fits in no header",
        ),
        (
            200,
            &long(17_000),
            false,
            "200, but the access_token fits in no header",
        ),
        (
            200,
            &long(70_000),
            false,
            "200, but the answer is longer than 65536 bytes",
        ),
    ] {
        let answer = answer(status, body.to_owned());
        let failure = token(&answer, ClientAuth::Basic, Instant::now()).unwrap_err();
        assert_eq!(failure.cause, cause);
        assert_eq!(failure.class, crate::model::FailureClass::Token { refused });
    }
}
