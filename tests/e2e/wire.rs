//! What arrives at the merchant, byte for byte.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use posthorn::model::TokenKey;
use posthorn::model::delivery::delivery_id;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{Database, PATIENCE, Setup, Worker, receiver};

fn field(name: &str, source: &str) -> Value {
    json!({"name": name, "source": source})
}

/// WIRE.md 5.4.
fn alphatrust() -> Value {
    json!([
        field("TransID", "transaction_id"),
        {"name": "TXStatus", "source": "status", "map": {"Complete": "4"}},
        field("EventType", "literal:transaction"),
        field("ps_securitytoken", "/token"),
    ])
}

#[tokio::test]
async fn each_encoding_travels_as_the_merchant_expects_it() {
    let data = "{ \"z\": 1234.50,  \"a\": [1e3, null, \"x & <y>\"] }";
    let picked = json!([
        field("status", "status"),
        field("amount", "/z"),
        field("text", "/a/2"),
    ]);
    let database = Database::new().await;
    let receiver = receiver().await;
    // path, settings, what arrives: path with query, content type, body.
    let cases = [
        (
            "/as-it-is",
            json!({}),
            "/as-it-is",
            "application/json",
            data,
        ),
        (
            "/json",
            json!({"fields": picked}),
            "/json",
            "application/json",
            r#"{"status":"approved","amount":1234.50,"text":"x & <y>"}"#,
        ),
        (
            "/xml",
            json!({"encoding": "xml", "xml_root": "payment", "fields": picked}),
            "/xml",
            "application/xml; charset=utf-8",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><payment><status>approved</status>\
             <amount>1234.50</amount><text>x &amp; &lt;y&gt;</text></payment>",
        ),
        (
            "/nvp",
            json!({"encoding": "nvp", "fields": picked}),
            "/nvp",
            "application/x-www-form-urlencoded",
            "status=approved&amount=1234.50&text=x+%26+%3Cy%3E",
        ),
        (
            "/get?shop=7&q=a%20b",
            json!({"method": "GET", "encoding": "query", "fields": picked}),
            "/get?shop=7&q=a%20b&status=approved&amount=1234.50&text=x+%26+%3Cy%3E",
            "",
            "",
        ),
        // A method alone is enough: GET takes no other encoding.
        (
            "/bare",
            json!({"method": "GET", "fields": [field("id", "transaction_id")]}),
            "/bare?id=t1",
            "",
            "",
        ),
    ];
    for (path, settings, ..) in &cases {
        let mut settings = settings.clone();
        settings["url"] = receiver.url(path).into();
        database.subscribe("acme", path, settings).await;
    }
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", data).await;
    receiver
        .wait_for(cases.len() as u64, PATIENCE)
        .await
        .unwrap();
    database
        .count_reaches("delivered", i64::try_from(cases.len()).unwrap())
        .await;
    let requests = receiver.requests();
    for (path, settings, expected, content_type, body) in cases {
        let request = requests
            .iter()
            .find(|request| request.path_and_query == expected)
            .unwrap_or_else(|| panic!("{expected} not in {requests:?}"));
        let method = settings["method"].as_str().unwrap_or("POST");
        assert_eq!(request.method, method, "{path}");
        assert_eq!(request.body, body, "{path}");
        let header = |name: &str| {
            request
                .headers
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
        };
        assert_eq!(header("content-type"), content_type, "{path}");
        assert_eq!(header("webhook-id"), event.to_string(), "{path}");
        assert!(header("user-agent").starts_with("Posthorn/"), "{path}");
        assert_eq!(header("authorization"), "", "{path}");
    }
    assert_eq!(receiver.received(), 6);
}

#[tokio::test]
async fn the_golden_messages_of_the_vendors_arrive() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let idpay = json!([field("id", "transaction_id"), field("status", "status")]);
    for (name, auth, secret) in [
        ("basic", "basic", "env:BASIC"),
        ("key", "api_key", "env:NAMED_KEY"),
        ("bare-key", "api_key", "env:BARE_KEY"),
    ] {
        let settings = json!({"url": receiver.url("/hook"), "fields": idpay, "auth": auth, "auth_secret": secret});
        database.subscribe("idpay", name, settings).await;
    }
    let listener = receiver.url("/statuslistener.php");
    let settings = json!({"url": listener, "encoding": "nvp", "fields": alphatrust()});
    database.subscribe("alphatrust", "post", settings).await;
    let listener = receiver.url("/statuslistener.aspx");
    let settings = json!({"url": listener, "method": "GET", "encoding": "query", "fields": alphatrust(), "statuses": ["Comp*"]});
    database.subscribe("alphatrust", "get", settings).await;
    let _worker = Setup::new(&database)
        .env("BASIC", "user:pass")
        .env("NAMED_KEY", "X-Key:abc")
        .env("BARE_KEY", "abc")
        .start()
        .await;

    let transaction = "8263a268-5388-492a-bca2-28e1ff4a69f0";
    database
        .publish("idpay", transaction, "approved", "{}")
        .await;
    let token = r#"{"token": "4bf44fb0-f695-40b5-821d-c22273e11c30"}"#;
    database
        .publish("alphatrust", "1234567890", "Complete", token)
        .await;
    database.count_reaches("delivered", 5).await;
    let requests = receiver.requests();

    let mut credentials = vec![];
    for request in requests
        .iter()
        .filter(|request| request.path_and_query == "/hook")
    {
        let golden = format!(r#"{{"id":"{transaction}","status":"approved"}}"#);
        assert_eq!(request.body.len(), 65);
        assert_eq!(request.body, golden);
        assert_eq!(request.headers["content-type"], "application/json");
        for name in ["authorization", "x-key"] {
            if let Some(value) = request.headers.get(name) {
                credentials.push(format!("{name}: {}", value.to_str().unwrap()));
            }
        }
    }
    credentials.sort();
    assert_eq!(
        credentials,
        [
            "authorization: Basic dXNlcjpwYXNz",
            "authorization: abc",
            "x-key: abc"
        ]
    );
    let golden = "TransID=1234567890&TXStatus=4&EventType=transaction&ps_securitytoken=4bf44fb0-f695-40b5-821d-c22273e11c30";
    assert_eq!(golden.len(), 105);
    let post = requests
        .iter()
        .find(|request| request.path_and_query == "/statuslistener.php");
    assert_eq!(post.unwrap().body, golden);
    assert_eq!(
        post.unwrap().headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    let get = requests
        .iter()
        .find(|request| request.method == "GET")
        .unwrap();
    assert_eq!(get.path_and_query, format!("/statuslistener.aspx?{golden}"));
    assert_eq!(get.body, "");
}

/// Invariant 5: what a receiver knows a message by, and checks it with, over its attempts.
#[tokio::test]
async fn a_message_stays_itself_over_its_attempts() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/flaky", "503,times=2,then=200".parse().unwrap());
    let settings = json!({
        "url": receiver.url("/flaky"), "retry": "fixed", "retry_interval": "300ms",
        "fields": [
            field("id", "transaction_id"),
            {"name": "cents", "source": "/amount", "format": "minor:2"},
            field("delivery", "delivery_id"),
            field("token", "security_token"),
        ],
        "id_header": "acme-id", "attempt_header": "acme-try",
        "signing": "standard_webhooks", "signing_secrets": ["env:KEY", "env:KEY_BEFORE"],
    });
    let subscription = database.subscribe("acme", "signed", settings).await;
    let _worker = Setup::new(&database)
        .env("KEY", "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")
        .env("KEY_BEFORE", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .start()
        .await;
    let data = r#"{"amount": 1234.50}"#;
    let event = database.publish("acme", "t1", "approved", data).await;
    let published = database.reaches(event, "delivered").await.created_at;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);

    let key: Vec<u8> = database.value("SELECT key FROM posthorn.token_key").await;
    let token = TokenKey::new(&key).token(event, subscription);
    let delivery = delivery_id(event, subscription);
    let body = format!(r#"{{"id":"t1","cents":123450,"delivery":"{delivery}","token":"{token}"}}"#);
    for (number, request) in (1..).zip(&requests) {
        let header = |name: &str| request.headers[name].to_str().unwrap();
        assert_eq!(request.body, body);
        assert_eq!(header("acme-id"), event.to_string());
        assert_eq!(header("acme-try"), number.to_string());
        let timestamp: i64 = header("webhook-timestamp").parse().unwrap();
        assert!((timestamp - published.timestamp()).abs() < 60);
        let (ed25519, hmac) = header("acme-signature").split_once(' ').unwrap();
        assert!(ed25519.starts_with("v1a,"), "{ed25519}");
        let secret = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret.unwrap());
        let message = format!("{event}.{timestamp}.{body}");
        let tag = BASE64_STANDARD.decode(hmac.strip_prefix("v1,").unwrap());
        hmac::verify(&secret, message.as_bytes(), &tag.unwrap()).unwrap();
        for name in ["webhook-id", "webhook-attempt", "webhook-signature"] {
            assert!(!request.headers.contains_key(name));
        }
    }
}

/// No retry mends a value that does not fit.
#[tokio::test]
async fn what_cannot_be_put_into_form_is_a_posting_error_at_once() {
    let database = Database::new().await;
    let receiver = receiver().await;
    for (name, settings) in [
        (
            "format",
            json!({"fields": [{"name": "cents", "source": "/amount", "format": "minor:2"}]}),
        ),
        ("missing", json!({"fields": [field("tax", "/tax")]})),
        ("nested", json!({"encoding": "nvp", "nested": "refuse"})),
        ("xml", json!({"encoding": "xml", "xml_illegal": "refuse"})),
    ] {
        let mut settings = settings;
        settings["url"] = receiver.url("/hook").into();
        database.subscribe("acme", name, settings).await;
    }
    let _worker = Worker::start(&database, "").await;
    let data = r#"{"amount": 0.005, "payer": {"name": "s3cret\u0000"}}"#;
    let event = database.publish("acme", "t1", "approved", data).await;
    database.count_reaches("posting_error", 4).await;
    let told: Vec<_> = database
        .deliveries(event)
        .await
        .into_iter()
        .map(|it| (it.subscription, it.attempts, it.reason.unwrap()))
        .collect();
    let expected = [
        (
            "format",
            "field `cents`: a number with more decimals does not fit its format minor:2",
        ),
        (
            "missing",
            "field `tax`: nothing at /tax in the event's data",
        ),
        (
            "nested",
            "member 2 of the event's data: an object or a list, and the setting nested is \"refuse\"",
        ),
        (
            "xml",
            "member 2 of the event's data: U+0000, which XML cannot carry, and the setting xml_illegal is \"refuse\"",
        ),
    ];
    assert_eq!(
        told,
        expected.map(|(name, reason)| (name.to_owned(), 0, reason.to_owned()))
    );
    assert_eq!(receiver.received(), 0);
}
