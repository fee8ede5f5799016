//! Seed page 004; WIRE.md 5.

use serde_json::json;

use super::*;

const POST_URL: &str = "https://myapp.mydomain.com/statuslistener.php";
const GET_URL: &str = "https://myapp.mydomain.com/statuslistener.aspx";

fn completed(transaction: &str) -> Event {
    Event {
        transaction_id: transaction.into(),
        status: "Complete".into(),
        ..samples::event()
    }
}

/// The profile with the page's own token in place of one that is made.
fn with_the_pages_token(settings: &mut Settings) {
    let mut fields = builtin("alphatrust").fields.unwrap();
    assert_eq!(fields[3]["source"], "security_token");
    fields[3]["source"] = json!("literal:4bf44fb0-f695-40b5-821d-c22273e11c30");
    settings.fields = Some(fields);
}

#[test]
fn the_pages_message_by_post() {
    let subscription = subscription("alphatrust", POST_URL, with_the_pages_token);
    let request = shaped(&completed("1234567890"), &subscription, 1).unwrap();
    let golden = "TransID=1234567890&TXStatus=4&EventType=transaction\
                  &ps_securitytoken=4bf44fb0-f695-40b5-821d-c22273e11c30";
    assert_eq!(golden.len(), 105);
    assert_eq!(
        wire(&request),
        format!("POST /statuslistener.php\n{FORM}{FIRST}\n{golden}")
    );
}

#[test]
fn the_pages_message_by_get() {
    let subscription = subscription("alphatrust", GET_URL, |s| {
        with_the_pages_token(s);
        s.method = text("GET");
        s.encoding = text("query");
    });
    let request = shaped(&completed("1000123456"), &subscription, 1).unwrap();
    assert_eq!(
        request.url.as_str(),
        "https://myapp.mydomain.com/statuslistener.aspx?TransID=1000123456&TXStatus=4\
         &EventType=transaction&ps_securitytoken=4bf44fb0-f695-40b5-821d-c22273e11c30"
    );
    let path = &request.url[url::Position::BeforePath..];
    assert_eq!(wire(&request), format!("GET {path}\n{FIRST}\n"));
}

/// The values as the page shows them: `TXStatus` is a number.
#[test]
fn the_pages_message_as_json_and_xml() {
    let golden = r#"{"TransID":"1234567890","TXStatus":4,"EventType":"transaction","ps_securitytoken":"4bf44fb0-f695-40b5-821d-c22273e11c30"}"#;
    let as_json = subscription("alphatrust", POST_URL, |s| {
        with_the_pages_token(s);
        s.encoding = text("json");
    });
    let request = shaped(&completed("1234567890"), &as_json, 1).unwrap();
    assert_eq!(
        wire(&request),
        format!("POST /statuslistener.php\n{JSON}{FIRST}\n{golden}")
    );
    let as_xml = subscription("alphatrust", POST_URL, |s| {
        with_the_pages_token(s);
        s.encoding = text("xml");
    });
    let request = shaped(&completed("1234567890"), &as_xml, 1).unwrap();
    assert_eq!(
        wire(&request),
        format!(
            "POST /statuslistener.php\n{XML}{FIRST}\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <notification><TransID>1234567890</TransID><TXStatus>4</TXStatus>\
             <EventType>transaction</EventType>\
             <ps_securitytoken>4bf44fb0-f695-40b5-821d-c22273e11c30</ps_securitytoken></notification>"
        )
    );
}

#[test]
fn every_status_of_the_page_has_its_number() {
    let subscription = subscription("alphatrust", POST_URL, |_| {});
    for (status, number) in [
        ("Pending", "2"),
        ("Complete", "4"),
        ("Closed", "7"),
        ("Cancelled", "8"),
        ("Expired", "9"),
        ("Voided", "10"),
        ("4", "4"),
    ] {
        let event = Event {
            status: status.into(),
            ..completed("1234567890")
        };
        let body = payload(&event, &subscription).unwrap();
        assert!(body.contains(&format!("&TXStatus={number}&")), "{body}");
    }
    let unknown = Event {
        status: "s3cret".into(),
        ..completed("1234567890")
    };
    assert_eq!(
        payload(&unknown, &subscription).unwrap_err().to_string(),
        "field `TXStatus`: a value that is not a number does not fit its format number"
    );
}

/// The token is a GUID of the delivery's own, and the message the same at each attempt.
#[test]
fn the_security_token_stays_the_same() {
    let mut subscription = subscription("alphatrust", POST_URL, |_| {});
    let event = completed("1234567890");
    let token_of = |subscription: &Subscription, attempt| {
        let body = shaped(&event, subscription, attempt).unwrap().body;
        assert_eq!(body.len(), 105);
        let body = std::str::from_utf8(&body).unwrap();
        let (_, token) = body.split_once("&ps_securitytoken=").unwrap();
        token.parse::<Uuid>().unwrap()
    };
    let token = token_of(&subscription, 1);
    assert_eq!(
        token,
        TokenKey::new(&[7; 32]).token(event.id, subscription.id)
    );
    assert_eq!(token, token_of(&subscription, 5));
    subscription.id = Uuid::from_u128(1);
    assert_ne!(token, token_of(&subscription, 1));
}
