//! Whole requests, as a receiver sees them.

mod encodings;
mod formats;
mod golden;
mod oracle;
mod properties;
mod reading;
mod signing;

use chrono::TimeDelta;
use http::HeaderName;

use super::*;
use crate::model::{Auth, OmitWhen, samples};

/// The request of an attempt, one minute after the one before, from 2026-03-01T12:00:00Z.
pub fn shaped(
    event: &Event,
    subscription: &Subscription,
    attempt: u32,
) -> Result<Request, Unsendable> {
    let moment = Moment {
        subscription_id: subscription.id,
        attempt,
        now: samples::time("2026-03-01T11:59:00.000002Z") + TimeDelta::minutes(attempt.into()),
        nonce: [u8::try_from(attempt).unwrap(); 16],
        token_key: &TokenKey::new(&[7; 32]),
        credential: Credential::Current,
    };
    shape(event, subscription, &moment)
}

fn field(name: &str, source: FieldSource) -> Field {
    Field {
        name: name.to_owned(),
        source,
        map: Vec::new(),
        format: Vec::new(),
        omit_when: OmitWhen::Never,
    }
}

fn pointer(name: &str, pointer: &str) -> Field {
    field(name, FieldSource::Pointer(pointer.to_owned()))
}

fn literal(name: &str, text: &str) -> Field {
    field(name, FieldSource::Literal(text.to_owned()))
}

fn mapped(encoding: Encoding, fields: Vec<Field>) -> Subscription {
    let mut subscription = samples::subscription();
    subscription.form.encoding = encoding;
    subscription.form.fields = Some(fields);
    subscription
}

fn with_data(data: &str) -> Event {
    Event {
        data: data.into(),
        ..samples::event()
    }
}

/// The body, or the URL for a GET.
fn payload(event: &Event, subscription: &Subscription) -> Result<String, Unsendable> {
    let request = shaped(event, subscription, 3)?;
    Ok(if request.method == http::Method::GET {
        assert!(request.body.is_empty());
        assert!(!request.headers.contains_key(CONTENT_TYPE));
        request.url.to_string()
    } else {
        assert_eq!(Some(request.url), subscription.form.url);
        String::from_utf8(request.body.to_vec()).unwrap()
    })
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).unwrap().to_str().unwrap()
}

#[test]
fn a_query_goes_behind_the_one_that_is_there() {
    for (url, expected) in [
        ("https://m.example", "https://m.example/?a+b=%26%C3%A9"),
        ("https://m.example/p?", "https://m.example/p?a+b=%26%C3%A9"),
        (
            "https://m.example/p?x=1",
            "https://m.example/p?x=1&a+b=%26%C3%A9",
        ),
        (
            "https://m.example/p?x=1&",
            "https://m.example/p?x=1&a+b=%26%C3%A9",
        ),
        (
            "https://m.example/p?%7E=a%20b;c",
            "https://m.example/p?%7E=a%20b;c&a+b=%26%C3%A9",
        ),
        (
            "https://m.example/p?x#top?y",
            "https://m.example/p?x&a+b=%26%C3%A9#top?y",
        ),
        (
            "https://m.example/p#top",
            "https://m.example/p?a+b=%26%C3%A9#top",
        ),
    ] {
        let mut subscription = mapped(Encoding::Query, vec![literal("a b", "&é")]);
        subscription.form.method = Method::Get;
        subscription.form.url = Some(url.parse().unwrap());
        assert_eq!(payload(&samples::event(), &subscription).unwrap(), expected);
        subscription.form.fields = Some(Vec::new());
        let bare = payload(&samples::event(), &subscription).unwrap();
        assert_eq!(bare, subscription.form.url.as_ref().unwrap().as_str());
    }
}

#[test]
fn identity_json_is_the_published_text_byte_for_byte() {
    let published = "{ \"messsage\" : 1.0, \"n\":1e400,\r\n\"n\":0.10, \"s\":\"\\ud800\\/\" }";
    let body = payload(&with_data(published), &samples::subscription()).unwrap();
    assert_eq!(body, published);
}

#[test]
fn a_mapped_object_keeps_order_types_and_number_text() {
    let subscription = mapped(
        Encoding::Json,
        vec![
            pointer("amount", "/p/amount"),
            pointer("big", "/p/list/1"),
            pointer("all", "/p"),
            pointer("gone", "/p/none"),
            pointer("text", "/p/text"),
            field("try", FieldSource::Attempt),
            field("at", FieldSource::CreatedAt),
            field("event", FieldSource::EventId),
            field("kind", FieldSource::Kind),
            field("merchant", FieldSource::Merchant),
            literal("say", "\"\\\u{1}\n/é"),
        ],
    );
    let list = "[1, 1234567890123456789012345678901234567890]";
    let p = format!(
        r#"{{"amount":1234.50,"list":{list},"none":null,"text":"a\u00e9\/","amount":-0.0E+1}}"#
    );
    let body = payload(&with_data(&format!("{{\"p\":{p}}}")), &subscription).unwrap();
    let expected =
        format!(r#"{{"amount":-0.0E+1,"big":1234567890123456789012345678901234567890,"all":{p},"#)
            + r#""gone":null,"text":"a\u00e9\/","try":3,"at":"2026-03-01T12:00:00.000001Z","#
            + r#""event":"01900000-0000-7000-8000-000000000001","kind":"payment.approved","#
            + r#""merchant":"acme","say":"\"\\\u0001\n/é"}"#;
    assert_eq!(body, expected);
    let empty = mapped(Encoding::Json, Vec::new());
    assert_eq!(payload(&samples::event(), &empty).unwrap(), "{}");
}

#[test]
fn a_value_map_works_on_the_text_and_lets_the_rest_through() {
    let map = [
        ("4", "done"),
        ("true", "yes"),
        ("", "none"),
        ("[]", "never"),
    ];
    for (value, expected) in [
        ("4", "\"done\""),
        ("\"4\"", "\"done\""),
        ("4.0", "4.0"),
        ("true", "\"yes\""),
        ("null", "\"none\""),
        ("\"\"", "\"none\""),
        ("[]", "[]"),
        ("\"other\"", "\"other\""),
    ] {
        let field = Field {
            map: map
                .map(|(from, to)| (from.to_owned(), to.to_owned()))
                .into(),
            ..pointer("f", "/v")
        };
        let subscription = mapped(Encoding::Json, vec![field]);
        let body = payload(&with_data(&format!("{{\"v\":{value}}}")), &subscription);
        assert_eq!(body.unwrap(), format!("{{\"f\":{expected}}}"));
    }
}

#[test]
fn a_field_is_left_out_when_the_map_says_so() {
    use OmitWhen::{Empty, Missing, Never, Null};
    for (omit_when, data, sent) in [
        (Never, r#"{"v":null}"#, true),
        (Never, r#"{"v":""}"#, true),
        (Missing, "{}", false),
        (Missing, r#"{"v":null}"#, true),
        (Null, "{}", false),
        (Null, r#"{"v":null}"#, false),
        (Null, r#"{"v":""}"#, true),
        (Empty, "{}", false),
        (Empty, r#"{"v":null}"#, false),
        (Empty, r#"{"v":""}"#, false),
        (Empty, r#"{"v":[]}"#, true),
        (Empty, r#"{"v":0}"#, true),
    ] {
        let field = Field {
            omit_when,
            ..pointer("f", "/v")
        };
        let body = payload(&with_data(data), &mapped(Encoding::Json, vec![field])).unwrap();
        assert_eq!(body != "{}", sent, "{omit_when:?} of {data} gave {body}");
    }
    let status = Field {
        omit_when: Empty,
        ..field("status", FieldSource::Status)
    };
    let mut event = samples::event();
    event.status = "".into();
    let body = payload(&event, &mapped(Encoding::Json, vec![status]));
    assert_eq!(body.unwrap(), "{}");
}

#[test]
fn what_cannot_be_sent_says_why_without_a_value() {
    let missing = mapped(Encoding::Nvp, vec![pointer("TransID", "/id")]);
    let mut nvp = samples::subscription();
    nvp.form.encoding = Encoding::Nvp;
    let mut xml = samples::subscription();
    xml.form.encoding = Encoding::Xml;
    let mut long_get = mapped(Encoding::Query, vec![pointer("f", "/s")]);
    long_get.form.method = Method::Get;
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    // A long name above many values: 100 KB that would become 1.5 GB.
    let bomb = format!("{{\"{}\":[0{}]}}", "n".repeat(50_000), ",0".repeat(25_000));
    let long = format!("{{\"s\":\"{}\"}}", "secret".repeat(11_000));
    for (subscription, data, expected) in [
        (
            &missing,
            "{\"secret\":1}",
            "field `TransID`: nothing at /id in the event's data",
        ),
        (
            &missing,
            "{\"secret\":}",
            "the event's data is not valid JSON at byte 10",
        ),
        (
            &missing,
            &deep,
            "the event's data is nested deeper than 128 levels",
        ),
        (
            &nvp,
            "[\"secret\"]",
            "the event's data is a list; without a field map this encoding needs an object",
        ),
        (
            &xml,
            "\"secret\"",
            "the event's data is a text; without a field map this encoding needs an object",
        ),
        (
            &nvp,
            &bomb,
            "the encoded fields would be longer than 4194304 bytes",
        ),
        (
            &xml,
            &bomb,
            "the encoded fields would be longer than 4194304 bytes",
        ),
        (
            &long_get,
            &long,
            "the URL with its query would be longer than 65534 bytes",
        ),
    ] {
        let error = payload(&with_data(data), subscription).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn the_headers_say_who_sends_what() {
    let mut subscription = samples::subscription();
    subscription.auth = Auth::ApiKey {
        header: "x-key".to_owned(),
        value: "abc".into(),
        guessed_from: None,
    };
    let first = shaped(&samples::event(), &subscription, 1).unwrap();
    assert_eq!(
        header(&first, "webhook-id"),
        "01900000-0000-7000-8000-000000000001"
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(header(&first, "user-agent"), format!("Posthorn/{version}"));
    assert_eq!(header(&first, "x-key"), "abc");
    assert!(first.headers["x-key"].is_sensitive());

    assert_eq!(header(&first, "webhook-timestamp"), "1772366400");
    assert_eq!(header(&first, "webhook-attempt"), "1");

    let again = shaped(&samples::event(), &subscription, 2).unwrap();
    assert_eq!(header(&again, "webhook-id"), header(&first, "webhook-id"));
    assert_eq!(header(&again, "webhook-timestamp"), "1772366460");
    assert_eq!(header(&again, "webhook-attempt"), "2");
    assert_eq!(again.body, first.body);

    subscription.auth = Auth::ApiKey {
        header: "authorization".to_owned(),
        value: "abc".into(),
        guessed_from: None,
    };
    let bare = shaped(&samples::event(), &subscription, 1).unwrap();
    assert_eq!(header(&bare, "authorization"), "abc");
    assert!(bare.headers["authorization"].is_sensitive());
}

#[test]
fn an_illegal_credential_is_refused_without_being_named() {
    for (name, value, expected) in [
        (
            "x-key",
            "s3cret\r\nx-evil: 1",
            "the value of header `x-key` has characters that no header may carry",
        ),
        (
            "x s3cret",
            "v",
            "the API key's header name is not a legal header name",
        ),
    ] {
        let mut subscription = samples::subscription();
        subscription.auth = Auth::ApiKey {
            header: name.to_owned(),
            value: value.into(),
            guessed_from: None,
        };
        let error = shaped(&samples::event(), &subscription, 1).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn debug_shows_no_secret_and_no_payload() {
    let mut subscription = samples::subscription();
    subscription.auth = Auth::Basic("user:s3cret".into());
    subscription.form.url = Some(
        "https://u:s3cret@m.example/hook?key=s3cret#s3cret"
            .parse()
            .unwrap(),
    );
    let event = with_data(r#"{"card":"s3cret"}"#);
    let request = shaped(&event, &subscription, 1).unwrap();
    let shown = format!("{request:?}");
    assert!(shown.contains("https://m.example"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(!shown.contains("Basic"), "{shown}");
}
