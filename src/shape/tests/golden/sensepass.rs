//! Seed page 002; WIRE.md 3. The entity is the page's example without its comments.

use super::*;

const URL: &str = "https://merchant.example/callback";
const ENTITY: &str = include_str!("sensepass.json");

fn signed(settings: &mut Settings) {
    settings.signing_secrets = Some(vec!["file:sensepass-secret".to_owned()]);
}

#[test]
fn the_entity_travels_as_it_was_published() {
    let subscription = subscription("sensepass", URL, signed);
    let request = shaped(&with_data(ENTITY), &subscription, 1).unwrap();
    let signature = "hmac-authorization: 5c7189947cb13d1eafc1d1a70a4aed04e35b1eb7b6a067291bd4f0dfd30bbee6\n\
                     hmac-random-key: 01010101010101010101010101010101\n";
    assert_eq!(
        wire(&request),
        format!("POST /callback\n{JSON}{signature}{FIRST}\n{ENTITY}")
    );
    // WIRE.md 3.2 and 3.4.
    assert!(ENTITY.contains("\"messsage\""));
    assert!(ENTITY.contains("\"confirmations\": [") && ENTITY.contains("\"confirmation\": {"));
}

#[test]
fn the_entity_in_the_other_encodings() {
    let nvp = include_str!("sensepass.nvp");
    let xml = include_str!("sensepass.xml");
    for (encoding, body) in [("nvp", nvp), ("xml", xml)] {
        let subscription = subscription("sensepass", URL, |s| {
            signed(s);
            s.encoding = text(encoding);
            s.xml_root = text("transaction");
        });
        assert_eq!(payload(&with_data(ENTITY), &subscription).unwrap(), body);
    }
    let query = subscription("sensepass", URL, |s| {
        signed(s);
        s.method = text("GET");
        s.encoding = text("query");
    });
    assert_eq!(
        payload(&with_data(ENTITY), &query).unwrap(),
        format!("{URL}?{nvp}")
    );
}

/// The vendor's public page, "Choosing Request Method".
#[test]
fn the_pages_callback_by_get() {
    let url = "https://google.com/callback/api/callback";
    let subscription = subscription("sensepass-get", url, signed);
    let event = Event {
        transaction_id: "573942fsdqe90342k304242".into(),
        ..samples::event()
    };
    let request = shaped(&event, &subscription, 1).unwrap();
    assert_eq!(
        request.url.as_str(),
        "https://google.com/callback/api/callback?TransactionNumber=573942fsdqe90342k304242\
         &callbackType=transaction_status"
    );
    let path = &request.url[url::Position::BeforePath..];
    let signature = "hmac-authorization: d647977c3225feb231b807ad22e900a9b0aeb8adf8e4103ada99af0d9b44e77f\n\
                     hmac-random-key: 01010101010101010101010101010101\n";
    assert_eq!(wire(&request), format!("GET {path}\n{signature}{FIRST}\n"));
}
