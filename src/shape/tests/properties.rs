//! Any data through each encoding: other people's parsers find the same in it.

use proptest::prelude::*;
use ring::signature::Ed25519KeyPair;
use serde_json::json;

use super::oracle::{agree, ask};
use super::reading::{json_text, object_text};
use super::*;
use crate::model::subscription::{Nested, XmlIllegal};
use crate::model::{Signing, SigningKey};

const NESTED: [(Nested, &str); 2] = [(Nested::Dotted, "dotted"), (Nested::Json, "json")];

fn identity(encoding: Encoding) -> Subscription {
    let mut subscription = samples::subscription();
    subscription.form.encoding = encoding;
    subscription
}

/// Sends an object as it is through the form, the query and XML, and has each read back.
fn read_back_everywhere(data: &str) {
    let event = with_data(data);
    for (nested, name) in NESTED {
        let mut nvp = identity(Encoding::Nvp);
        nvp.form.nested = nested;
        let body = payload(&event, &nvp).unwrap();
        agree(&json!({"check": "form", "data": data, "nested": name, "body": body}));

        let mut get = identity(Encoding::Query);
        get.form.method = Method::Get;
        get.form.nested = nested;
        match payload(&event, &get) {
            Ok(url) => agree(&json!({"check": "query", "data": data, "nested": name, "url": url})),
            Err(error) => assert_eq!(error, Unsendable::UrlTooLong),
        }
    }
    let mut xml = identity(Encoding::Xml);
    let body = payload(&event, &xml).unwrap();
    agree(&json!({"check": "xml", "data": data, "body": body}));
    xml.form.xml_illegal = XmlIllegal::Refuse;
    let refused = match payload(&event, &xml) {
        Ok(same) => {
            assert_eq!(same, body);
            false
        }
        Err(Unsendable::NotXml { .. }) => true,
        Err(other) => panic!("{other}"),
    };
    agree(&json!({"check": "xml_refused", "data": data, "refused": refused}));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_object_reads_back_from_each_encoding(data in object_text()) {
        read_back_everywhere(&data);
    }

    #[test]
    fn any_text_reads_back_from_each_encoding(name: String, text: String) {
        read_back_everywhere(&json!({name: text}).to_string());
    }

    #[test]
    fn any_value_reads_back_from_a_mapped_object(name: String, value in json_text()) {
        let event = with_data(&format!("{{\"v\":{value}}}"));
        let body = payload(&event, &mapped(Encoding::Json, vec![pointer(&name, "/v")])).unwrap();
        agree(&json!({"check": "json", "name": name, "value": value, "body": body}));
    }

    #[test]
    fn any_text_reads_back_from_a_mapped_object(name: String, text: String) {
        let subscription = mapped(Encoding::Json, vec![literal(&name, &text)]);
        let body = payload(&samples::event(), &subscription).unwrap();
        let value = json!(text).to_string();
        agree(&json!({"check": "json", "name": name, "value": value, "body": body}));
    }
}

#[test]
fn the_odd_ones_read_back_too() {
    let deep =
        |open: &str, close: &str| format!("{{\"d\":{}1{}}}", open.repeat(127), close.repeat(127));
    let long = "n".repeat(60_000);
    for data in [
        "{}".to_owned(),
        r#"{"":""}"#.to_owned(),
        r#"{"":{"":{"":null}},"a":[{}],"a":[[]],"a":[[[]]],"a":{}}"#.to_owned(),
        r#"{"twice":1,"twice":2,"twice":{"x":3,"x":4}}"#.to_owned(),
        r#"{"\u0000":"\u0000","\ud800":"\udfff\ud800x","\ud83d\ude00":"\ud83d"}"#.to_owned(),
        r#"{"a\nb":"\n","a\tb":"\t","a\rb":"\r\n","\"":"'"}"#.to_owned(),
        r#"{"&":"&amp;<![CDATA[","<!--":"-->]]>","xmlns:x":"?>"}"#.to_owned(),
        r#"{"a+b":"c d%20;&=#","a.b":{"c.d":1}}"#.to_owned(),
        "{\"n\":[1234.50,-0.0,1e400,1E-400,1234567890123456789012345678901234567890]}".to_owned(),
        "{\"\u{85}\u{2028}\u{feff}\u{fffe}\u{1fffe}\u{10ffff}\":\"\u{7f}\u{80}\u{fdd0}\"}"
            .to_owned(),
        deep("[", "]"),
        deep("{\"x\":", "}"),
        format!("{{{long:?}:{{{long:?}:[1,2]}}}}"),
        format!("{{\"t\":{:?}}}", "é😀".repeat(20_000)),
    ] {
        read_back_everywhere(&data);
    }
}

/// The mapping is checked from both sides: an oracle that always agreed would prove nothing.
#[test]
fn the_oracle_sees_a_difference() {
    let data = r#"{"a":{"b":1.0}}"#;
    for question in [
        json!({"check": "form", "data": data, "nested": "dotted", "body": "a.b=1"}),
        json!({"check": "form", "data": data, "nested": "dotted", "body": "a.b=1.0&c="}),
        json!({"check": "form", "data": data, "nested": "json", "body": "a=%7B%22b%22%3A1%7D"}),
        json!({"check": "xml", "data": data, "body": "<r><a><b>1.0</b></a><a/></r>"}),
        json!({"check": "xml", "data": data, "body": "<r><a><b>1.0</b></r>"}),
        json!({"check": "json", "name": "a", "value": "1.0", "body": "{\"a\":1.00}"}),
        json!({"check": "json", "name": "a", "value": "1.0", "body": "{\"a\":\"1.0\"}"}),
        json!({"check": "xml_refused", "data": data, "refused": true}),
    ] {
        assert!(ask(&question).is_some(), "{question}");
    }
}

const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ASYMMETRIC: &str = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=";

/// A signed request of now, by Python's clock: its library refuses an old one.
fn signed_now(data: &str) -> Request {
    use base64::Engine;
    let decode = |key: &str| {
        let (_, key) = key.split_once('_').unwrap();
        base64::prelude::BASE64_STANDARD.decode(key).unwrap()
    };
    let mut subscription = samples::subscription();
    subscription.signing = Signing::StandardWebhooks(vec![
        SigningKey::Symmetric(ring::hmac::Key::new(
            ring::hmac::HMAC_SHA256,
            &decode(SYMMETRIC),
        )),
        SigningKey::Asymmetric(
            Ed25519KeyPair::from_seed_unchecked(&decode(ASYMMETRIC))
                .unwrap()
                .into(),
        ),
    ]);
    let now = ask(&json!({"check": "now"})).unwrap();
    let moment = Moment {
        attempt: 1,
        now: DateTime::from_timestamp(now.parse().unwrap(), 0).unwrap(),
        nonce: [0; 16],
        token_key: &TokenKey::new(&[7; 32]),
        credential: Credential::Current,
    };
    shape(&with_data(data), &subscription, &moment).unwrap()
}

fn check_of(request: &Request, body: &str) -> serde_json::Value {
    let headers: serde_json::Map<_, _> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    json!({
        "check": "signed",
        "body": body,
        "headers": headers,
        "secrets": [SYMMETRIC, ASYMMETRIC],
    })
}

/// By the official library `standardwebhooks` (v1) and by `cryptography` (v1a).
#[test]
fn the_official_library_accepts_the_signatures() {
    for data in ["{}", r#"{"amount": 1234.50, "name": "é😀 \u0000"}"#] {
        let mut request = signed_now(data);
        agree(&check_of(&request, data));
        assert!(ask(&check_of(&request, "{ }")).is_some());
        for name in ["webhook-id", "webhook-timestamp"] {
            let genuine = request.headers[name].clone();
            let other = HeaderValue::from_static("1772366400");
            request.headers.insert(HeaderName::from_static(name), other);
            assert!(ask(&check_of(&request, data)).is_some(), "{name}");
            request
                .headers
                .insert(HeaderName::from_static(name), genuine);
        }
        // Each signature alone is not enough for both keys.
        let both = header(&request, "webhook-signature").to_owned();
        for one in both.split(' ') {
            let one = HeaderValue::from_str(one).unwrap();
            request.headers.insert("webhook-signature", one);
            assert!(ask(&check_of(&request, data)).is_some());
        }
    }
}
