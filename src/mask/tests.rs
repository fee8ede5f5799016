mod cards;
mod echoes;

use proptest::prelude::*;

use super::*;
use crate::model::attempt::Answer;
use crate::model::{Auth, Credential, TokenKey, samples};
use crate::shape::{Moment, Request, shape};

/// Of an exchange whose answer can be of any length.
fn mask_of(event: &Event, subscription: &Subscription, request: &Request) -> Mask {
    let came = Wire::Answer(Answer {
        status: 200,
        body: vec![b' '; 64 * 1024].into(),
        ..Answer::default()
    });
    Mask::of(event, subscription, request, &came)
}

fn shaped(event: &Event, subscription: &Subscription) -> Request {
    let moment = Moment {
        subscription_id: subscription.id,
        attempt: 1,
        now: event.created_at,
        nonce: [7; 16],
        token_key: &TokenKey::new(b"of the tests"),
        credential: Credential::Current,
    };
    shape(event, subscription, &moment).unwrap()
}

/// That knows of no secret and of nothing sent.
fn blank() -> Mask {
    Mask(Some(Prints::new(0)))
}

#[test]
fn what_is_kept_is_text_that_the_database_takes() {
    for (body, expected) in [
        (&b""[..], None),
        (b"RECEIVED", Some("RECEIVED".to_owned())),
        (b"a\0b", Some("a\u{fffd}b".to_owned())),
        (b"\xff", Some("\u{fffd}".to_owned())),
    ] {
        assert_eq!(blank().body(body), expected);
    }
    let long = "ä".repeat(5000) + "\u{0}";
    assert_eq!(
        blank().body(long.as_bytes()).map(|text| text.len()),
        Some(2048)
    );
    let worst = blank().body(&vec![0xff; 5000]);
    assert!(worst.is_some_and(|text| text.len() <= BODY_KEPT));
}

proptest! {
    /// Halves of escapes, of characters and of base64.
    #[test]
    fn no_text_is_too_odd(
        text in "([%\\\\&#;ux0-9a-fA-F=+/ ]|\\PC|%u|&#x|\\\\u){0,200}",
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let kept = blank().body(text.as_bytes()).unwrap_or_default();
        prop_assert!(kept.chars().count() <= text.chars().count());
        prop_assert!(blank().body(&bytes).is_none_or(|kept| kept.len() <= BODY_KEPT));
        prop_assert!(blank().line(&text).chars().count() <= REASON_KEPT);
    }
}

#[test]
fn a_receiver_cannot_spoil_the_reason() {
    let long = "é".repeat(5_000);
    let line = blank().line(&format!("500 a\0b\x1b[2J\n{long}"));
    assert!(line.starts_with("500 a\u{FFFD}b\u{FFFD}[2J\u{FFFD}é"));
    assert!(line.ends_with("é…"));
    assert_eq!(line.chars().count(), 200);
}

#[test]
fn an_answer_of_the_standards_words_alone_is_shown_as_it_came() {
    let event = samples::event();
    let mut subscription = samples::subscription();
    subscription.unsent = vec![b"OK".to_vec().into(), b"open sesame".to_vec().into()];
    let request = shaped(&event, &subscription);
    for (phrase, body, line) in [
        ("OK", "", "200 OK"),
        ("", "", "200"),
        ("open sesame", "", "200 [secret]"),
        ("OK", "OK", "200 [secret]"),
    ] {
        let came = Wire::Answer(Answer {
            status: 200,
            reason: phrase.to_owned(),
            body: body.into(),
            ..Answer::default()
        });
        let mask = Mask::of(&event, &subscription, &request, &came);
        assert_eq!(mask.line(format!("200 {phrase}").trim_end()), line);
    }
}
