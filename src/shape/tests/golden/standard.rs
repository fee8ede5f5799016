//! Standard Webhooks 1.0.0: the example of its "Payload structure".

use super::*;

#[test]
fn the_specifications_example() {
    let keys = [
        "file:whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "file:whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=",
    ];
    let subscription = subscription("standard", "https://merchant.example/hook", |s| {
        s.signing_secrets = Some(keys.map(str::to_owned).into());
    });
    let body = r#"{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z","data":{"id":"1f81eb52-5198-4599-803e-771906343485"}}"#;
    let request = shaped(&with_data(body), &subscription, 1).unwrap();
    let (attempt_and_id, timestamp) = FIRST.split_at(FIRST.find("webhook-timestamp").unwrap());
    // Made with Python's `hmac` and with `cryptography`.
    let signature = "webhook-signature: v1,puEZAG7EHMiDH2mKC/EyLKt0dSl/D+XESGtvsb6s6Rw= v1a,o0JRtSwpQZ7jYHhPSbX61gZiZqlPpCAguUc15D6ORLPYeH27LGf7zMC7rNE/rGixVSFF7tF4o0kxlHYSIcGaCw==\n";
    assert_eq!(
        wire(&request),
        format!("POST /hook\n{JSON}{attempt_and_id}{signature}{timestamp}\n{body}")
    );
}
