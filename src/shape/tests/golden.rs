//! The messages that the vendors' own pages show, byte for byte.

use super::*;

/// WIRE.md, golden messages.
#[test]
fn idpay_golden() {
    let mut subscription = mapped(
        Encoding::Json,
        vec![
            field("id", FieldSource::TransactionId),
            field("status", FieldSource::Status),
        ],
    );
    subscription.auth = Auth::Basic("user:pass".into());
    let request = shaped(&samples::event(), &subscription, 1).unwrap();
    assert_eq!(request.method, http::Method::POST);
    assert_eq!(request.url.path(), "/hook");
    assert_eq!(header(&request, "content-type"), "application/json");
    assert_eq!(header(&request, "authorization"), "Basic dXNlcjpwYXNz");
    let golden: &[u8] = br#"{"id":"8263a268-5388-492a-bca2-28e1ff4a69f0","status":"approved"}"#;
    assert_eq!(golden.len(), 65);
    assert_eq!(request.body, golden);
}

fn alphatrust() -> Subscription {
    let status = Field {
        map: vec![
            ("Pending".to_owned(), "2".to_owned()),
            ("Complete".to_owned(), "4".to_owned()),
        ],
        ..field("TXStatus", FieldSource::Status)
    };
    mapped(
        Encoding::Nvp,
        vec![
            field("TransID", FieldSource::TransactionId),
            status,
            literal("EventType", "transaction"),
            pointer("ps_securitytoken", "/token"),
        ],
    )
}

/// WIRE.md, golden messages.
#[test]
fn alphatrust_golden_by_post() {
    let mut subscription = alphatrust();
    subscription.form.url = Some(
        "https://myapp.mydomain.com/statuslistener.php"
            .parse()
            .unwrap(),
    );
    let golden: &[u8] = b"TransID=1234567890&TXStatus=4&EventType=transaction\
        &ps_securitytoken=4bf44fb0-f695-40b5-821d-c22273e11c30";
    assert_eq!(golden.len(), 105);
    let mut event =
        with_data(r#"{"TXStatus": 4, "token": "4bf44fb0-f695-40b5-821d-c22273e11c30"}"#);
    event.transaction_id = "1234567890".into();
    let by_name = subscription.form.fields.as_ref().unwrap()[1].clone();
    event.status = "Complete".into();
    for status in [by_name, pointer("TXStatus", "/TXStatus")] {
        subscription.form.fields.as_mut().unwrap()[1] = status;
        let request = shaped(&event, &subscription, 1).unwrap();
        assert_eq!(
            header(&request, "content-type"),
            "application/x-www-form-urlencoded"
        );
        assert_eq!(request.body, golden);
    }
}

/// The URL at the end of seed page 004.
#[test]
fn alphatrust_golden_by_get() {
    let mut subscription = alphatrust();
    subscription.form.method = Method::Get;
    subscription.form.encoding = Encoding::Query;
    subscription.form.url = Some(
        "https://myapp.mydomain.com/statuslistener.aspx"
            .parse()
            .unwrap(),
    );
    let mut event = with_data(r#"{"token":"4bf44fb0-f695-40b5-821d-c22273e11c30"}"#);
    event.transaction_id = "1000123456".into();
    event.status = "Complete".into();
    assert_eq!(
        payload(&event, &subscription).unwrap(),
        "https://myapp.mydomain.com/statuslistener.aspx?TransID=1000123456&TXStatus=4\
         &EventType=transaction&ps_securitytoken=4bf44fb0-f695-40b5-821d-c22273e11c30"
    );
}

/// The same values as seed page 004 shows them: a number stays a number.
#[test]
fn alphatrust_golden_as_json() {
    let mut subscription = alphatrust();
    subscription.form.encoding = Encoding::Json;
    subscription.form.fields.as_mut().unwrap()[1] = pointer("TXStatus", "/TXStatus");
    let mut event =
        with_data(r#"{"TXStatus": 4, "token": "4bf44fb0-f695-40b5-821d-c22273e11c30"}"#);
    event.transaction_id = "1234567890".into();
    assert_eq!(
        payload(&event, &subscription).unwrap(),
        r#"{"TransID":"1234567890","TXStatus":4,"EventType":"transaction","ps_securitytoken":"4bf44fb0-f695-40b5-821d-c22273e11c30"}"#
    );
}
