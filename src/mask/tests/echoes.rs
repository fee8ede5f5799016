//! Credentials and payloads that come back.

use std::time::Instant;

use base64::prelude::{
    BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD, Engine,
};
use proptest::prelude::*;
use secrecy::SecretString;

use super::*;
use crate::model::{Encoding, Method};

const DATA: &str = r#"{"payer": {"name": "Jane Q. Doe", "iban": "DE89 3704 0044 0532 0130 00"},
    "amount": "12.50", "note": "straße \"7\"", "card": 1234567890123}"#;

fn event() -> Event {
    Event {
        transaction_id: "order-2026-0007".into(),
        status: "approved".into(),
        data: DATA.into(),
        ..samples::event()
    }
}

fn with_auth(auth: Auth) -> Mask {
    with(|subscription| subscription.auth = auth)
}

fn with(change: impl FnOnce(&mut Subscription)) -> Mask {
    let mut subscription = samples::subscription();
    change(&mut subscription);
    let request = shaped(&event(), &subscription);
    mask_of(&event(), &subscription, &request)
}

fn basic(pair: &str) -> Mask {
    with_auth(Auth::Basic(SecretString::from(pair)))
}

fn body(mask: &Mask, text: &str) -> String {
    mask.body(text.as_bytes()).unwrap_or_default()
}

#[test]
fn a_credential_is_masked_and_the_words_around_it_stay() {
    let mask = basic("acme:s3cret pass/wörd+1");
    for (said, kept) in [
        (
            "user acme, password s3cret pass/wörd+1.",
            "user acme, password [secret].",
        ),
        ("s3cret+pass%2Fw%C3%B6rd%2b1", "[secret]"),
        ("s3cret%20pass%2fw%c3%b6rd%2B1&x", "[secret]&x"),
        (r#"{"p":"s3cret pass\/w\u00f6rd+1"}"#, r#"{"p":"[secret]"}"#),
        ("<p>s3cret pass/w&#246;rd&#x2b;1</p>", "<p>[secret]</p>"),
        ("S3CRET PASS/WÖRD+1", "[secret]"),
        // By those who cannot write all of it.
        ("s3cret pass/wrd+1", "[secret]"),
        ("s3cret pass/w\u{fffd}rd+1", "[secret]"),
        // As it was sent, and by those who cut what they quote.
        (
            "authorization: Basic YWNtZTpzM2NyZXQgcGFzcy93w7ZyZCsx",
            "authorization: Basic [secret]",
        ),
        ("starts with s3cret pass/wö…", "starts with [secret]…"),
        // Nothing of it.
        ("wrong user or password", "wrong user or password"),
    ] {
        assert_eq!(body(&mask, said), kept, "{said}");
    }
}

#[test]
fn a_short_credential_is_masked_as_a_word() {
    let mask = basic("acme:1234");
    for (said, kept) in [
        ("password 1234 is wrong", "password [secret] is wrong"),
        ("1234", "[secret]"),
        (r#"{"password":"1234"}"#, r#"{"password":"[secret]"}"#),
        ("%221234%22", "%22[secret]%22"),
        ("acme:1234", "[secret]"),
        ("error 12345, 01234, a1234", "error 12345, 01234, a1234"),
    ] {
        assert_eq!(body(&mask, said), kept, "{said}");
    }
}

#[test]
fn every_credential_of_the_exchange_is_known() {
    use crate::model::subscription::{ClientAuth, OAuth2Client};

    let api_key = with_auth(Auth::ApiKey {
        header: "x-key".to_owned(),
        value: SecretString::from("Token key-0123456789"),
        guessed_from: None,
    });
    assert_eq!(
        body(&api_key, "x-key: Token key-0123456789"),
        "x-key: [secret]"
    );
    assert_eq!(body(&api_key, "your key-0123456789"), "your [secret]");

    let previous = with(|subscription| {
        subscription.auth_previous = Some(Auth::Basic(SecretString::from("acme:old-password")));
        subscription.unsent = vec![
            b"whsec_c2lnbmluZy1rZXk=".to_vec().into(),
            b"p12-password".to_vec().into(),
        ];
    });
    assert_eq!(
        body(
            &previous,
            "old-password whsec_c2lnbmluZy1rZXk= c2lnbmluZy1rZXk= p12-password"
        ),
        "[secret] [secret] [secret] [secret]"
    );

    let client = Auth::OAuth2(Box::new(OAuth2Client {
        token_url: "https://login.example/".parse().unwrap(),
        id: "client-of-acme".to_owned(),
        secret: SecretString::from("client-secret-77"),
        sent_in: ClientAuth::Basic,
        scope: None,
        audience: None,
    }));
    let mut subscription = samples::subscription();
    subscription.auth = client;
    let mut request = shaped(&event(), &subscription);
    let mut bearer = http::HeaderValue::from_static("Bearer eyJhbGciOiJub25lIn0.e30.c2lnbmF0dXJl");
    bearer.set_sensitive(true);
    request.headers.insert(http::header::AUTHORIZATION, bearer);
    let mask = mask_of(&event(), &subscription, &request);
    assert_eq!(
        body(
            &mask,
            "client-of-acme sent Bearer eyJhbGciOiJub25lIn0.e30.c2lnbmF0dXJl (client-secret-77)"
        ),
        "client-of-acme sent Bearer [secret] ([secret])"
    );
}

#[test]
fn what_was_sent_is_masked_and_what_support_needs_stays() {
    let mask = with(|_| {});
    let id = event().id;
    for (said, kept) in [
        // As it came, and as other programs write it.
        (DATA.to_owned(), "[sent]".to_owned()),
        (format!("you sent: {DATA}"), "you sent: [sent]".to_owned()),
        (
            serde_json::to_string(DATA).unwrap(),
            "\"[sent]\"".to_owned(),
        ),
        (BASE64_STANDARD.encode(DATA), "[sent]".to_owned()),
        (
            r#"{"name": "Jane Q. Doe", "ok": false}"#.to_owned(),
            r#"{"name": "[sent]", "ok": false}"#.to_owned(),
        ),
        (
            "unknown payer Jane+Q.+Doe (DE89+3704+0044+0532+0130+00)".to_owned(),
            "unknown payer [sent] ([sent])".to_owned(),
        ),
        ("stra\\u00dfe \\\"7\\\"".to_owned(), "[sent]".to_owned()),
        ("card 1234567890123".to_owned(), "card [sent]".to_owned()),
        // Short values are everybody's; ids stand beside the answer anyway.
        (
            "amount 12.50 is too high".to_owned(),
            "amount 12.50 is too high".to_owned(),
        ),
        (
            format!("{id} order-2026-0007 approved"),
            format!("{id} order-2026-0007 approved"),
        ),
        (
            "the field payer.name is missing".to_owned(),
            "the field payer.name is missing".to_owned(),
        ),
    ] {
        assert_eq!(body(&mask, &said), kept, "{said}");
    }
}

#[test]
fn what_was_sent_in_another_form_is_known_too() {
    let query = with(|subscription| {
        subscription.form.method = Method::Get;
        subscription.form.encoding = Encoding::Query;
        subscription.form.url = Some(
            "https://merchant.example/hook?key=of-the-url"
                .parse()
                .unwrap(),
        );
    });
    assert_eq!(
        body(&query, "no such key: of-the-url"),
        "no such key: [sent]"
    );
    assert_eq!(body(&query, "Jane Q. Doe?"), "[sent]?");
    let xml = with(|subscription| subscription.form.encoding = Encoding::Xml);
    assert_eq!(
        body(&xml, "Jane Q. Doe, stra&szlig;e"),
        "[sent], stra&szlig;e"
    );
    let request = {
        let mut subscription = samples::subscription();
        subscription.form.encoding = Encoding::Xml;
        shaped(&event(), &subscription)
    };
    let echoed = String::from_utf8_lossy(&request.body).replace('<', "&lt;");
    assert_eq!(body(&xml, &echoed), "[sent]");
}

#[test]
fn the_events_own_ids_stay_within_an_echo() {
    let event = Event {
        data: r#"{"transaction": "order-2026-0007", "payer": "Jane Q. Doe of Springfield"}"#.into(),
        ..event()
    };
    let subscription = samples::subscription();
    let request = shaped(&event, &subscription);
    let kept = body(&mask_of(&event, &subscription, &request), &event.data);
    assert_eq!(kept, r#"{"transaction": "order-2026-0007[sent]"#);

    // And what stands beside one in the same value does not.
    let event = Event {
        data: r#"{"link": "order-2026-0007/token-of-it"}"#.into(),
        ..event
    };
    let request = shaped(&event, &subscription);
    let mask = mask_of(&event, &subscription, &request);
    assert_eq!(
        body(&mask, "see order-2026-0007/token-of-it"),
        "see order-2026-0007[sent]"
    );
}

#[test]
fn a_secret_at_the_cut_is_masked() {
    let mask = basic("acme:correct horse battery staple");
    for before in 0..40 {
        let said = "x ".repeat((BODY_KEPT - before) / 2) + "correct horse battery staple and more";
        let kept = body(&mask, &said);
        assert!(!kept.contains("co"), "{before}: {kept}");
    }
    let reason = format!("401 {} correct horse battery staple", "x".repeat(185));
    let line = mask.line(&reason);
    assert!(line.contains("[secret") || line.ends_with("x …"), "{line}");
    assert!(!line.contains("corr"), "{line}");
}

/// Each writes a text in its own way.
const WRITTEN: &[fn(&str) -> String] = &[
    str::to_owned,
    |it| form_urlencoded::byte_serialize(it.as_bytes()).collect(),
    |it| {
        it.bytes()
            .fold(String::new(), |text, byte| format!("{text}%{byte:02x}"))
    },
    |it| {
        it.bytes()
            .fold(String::new(), |text, byte| format!("{text}%{byte:02X}"))
    },
    |it| serde_json::to_string(it).unwrap(),
    |it| serde_json::to_string(&serde_json::to_string(it).unwrap()).unwrap(),
    |it| {
        it.encode_utf16()
            .fold(String::new(), |text, unit| format!("{text}\\u{unit:04x}"))
    },
    |it| {
        it.chars().fold(String::new(), |text, it| {
            format!("{text}&#{};", u32::from(it))
        })
    },
    |it| {
        it.chars().fold(String::new(), |text, it| {
            format!("{text}&#x{:X};", u32::from(it))
        })
    },
    |it| {
        it.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&quot;")
    },
    |it| BASE64_STANDARD.encode(it),
    |it| BASE64_STANDARD_NO_PAD.encode(format!("a{it}")),
    |it| BASE64_URL_SAFE.encode(format!("ab{it}cd")),
    |it| {
        BASE64_URL_SAFE_NO_PAD.encode(format!(
            "{{\"password\":{}}}",
            serde_json::to_string(it).unwrap()
        ))
    },
    |it| form_urlencoded::byte_serialize(BASE64_STANDARD.encode(it).as_bytes()).collect(),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_credential_in_any_writing_at_any_place_is_masked(
        secret in "[!-~äß€😀]{12,40}",
        write in prop::sample::select(WRITTEN),
        (before, behind) in ("[ \"'<{(=:]{0,3}", "[ \"'>})&;,]{0,3}"),
        away in 0..3000_usize,
    ) {
        let mask = basic(&format!("acme:{secret}"));
        let filler: String = "- ".repeat(away / 2);
        let said = format!("{filler}{before}{}{behind}", write(&secret));
        let kept = body(&mask, &said);
        // What of the writing is left at either end is less than six characters.
        let left = kept.replace("[secret]", "").replace("[sent]", "");
        let left = left.trim_start_matches("- ");
        prop_assert!(left.chars().count() <= 40, "{said:?} {kept:?}");
        prop_assert!(away + 40 > BODY_KEPT || kept.contains("[secret"), "{said:?} {kept:?}");
        prop_assert!(!kept.contains(&write(&secret)), "{said:?} {kept:?}");
    }
}

/// A 64 KiB body, ten secrets, and a payload that repeats itself: as bad as it comes.
#[test]
fn the_cost_of_an_answer_is_bounded() {
    let mut subscription = samples::subscription();
    subscription.auth = Auth::Basic(SecretString::from("acme:aaaaaaaaaaaaaaaaaaaaaaaaa"));
    subscription.unsent = (0..9)
        .map(|n| format!("{n}aaaaaaaa").repeat(200).into_bytes().into())
        .collect();
    let event = Event {
        transaction_id: "aaaaaaaa".into(),
        data: format!(r#"{{"a": "{}"}}"#, "aaaaaaaab ".repeat(6500)).into(),
        ..event()
    };
    let request = shaped(&event, &subscription);
    let mut slowest = std::time::Duration::ZERO;
    for said in [
        "a",
        "4",
        "4 ",
        "%61",
        "\\u0061",
        "&#97;",
        "YWFhYWFh",
        "%25",
        "\\\\\\\\",
        "1aaaaaaaa",
    ] {
        let said = said.repeat(64 * 1024 / said.len());
        let began = Instant::now();
        let mask = mask_of(&event, &subscription, &request);
        let kept = mask.body(said.as_bytes()).unwrap();
        assert!(mask.line(&said).len() <= 4 * REASON_KEPT);
        slowest = slowest.max(began.elapsed());
        assert!(kept.len() <= BODY_KEPT);
    }
    // Under 10 ms in a release build; this one checks every step, beside other tests.
    assert!(slowest < std::time::Duration::from_secs(2), "{slowest:?}");
}
