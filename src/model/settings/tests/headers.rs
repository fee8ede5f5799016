use super::{given, resolved, text};
use crate::model::Settings;

fn names(settings: &Settings) -> [Option<String>; 3] {
    let identity = resolved(settings, "").unwrap().form.identity;
    [identity.id, identity.timestamp, identity.attempt].map(|name| name.map(|it| it.to_string()))
}

#[test]
fn the_identity_headers_have_names_or_stay_away() {
    let standard = ["webhook-id", "webhook-timestamp", "webhook-attempt"];
    assert_eq!(names(&given(|_| {})), standard.map(text));
    let own = given(|s| {
        s.id_header = text("X-Event-Id");
        s.timestamp_header = text("none");
        s.attempt_header = text("Webhook-Id");
    });
    let expected = [text("x-event-id"), None, text("webhook-id")];
    assert_eq!(names(&own), expected);
}

#[test]
fn a_name_that_would_break_the_request_is_refused() {
    type Given = fn(&mut Settings);
    let cases: [(Given, &str, &str); 9] = [
        (
            |s| s.id_header = text("a b"),
            "id_header",
            "is not a header's name",
        ),
        (
            |s| s.id_header = text(""),
            "id_header",
            "is not a header's name",
        ),
        (
            |s| s.timestamp_header = text("Host"),
            "timestamp_header",
            "needs for itself",
        ),
        (
            |s| s.attempt_header = text("Content-Type"),
            "attempt_header",
            "needs for itself",
        ),
        (
            |s| s.attempt_header = text("Authorization"),
            "attempt_header",
            "needs for itself",
        ),
        (
            |s| s.id_header = text("HMAC-Random-Key"),
            "id_header",
            "needs for itself",
        ),
        (
            |s| s.id_header = text("Webhook-Signature"),
            "id_header",
            "needs for itself",
        ),
        (
            |s| s.attempt_header = text("WEBHOOK-ID"),
            "attempt_header",
            "the same header as id_header",
        ),
        (
            |s| {
                s.id_header = text("x-a");
                s.timestamp_header = text("X-A");
            },
            "timestamp_header",
            "the same header as id_header",
        ),
    ];
    for (change, key, words) in cases {
        let problems = given(change).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].key, key, "{}", problems[0]);
        assert!(problems[0].message.contains(words), "{}", problems[0]);
    }
}

#[test]
fn an_api_key_takes_no_headers_place() {
    let settings = |id: &str| {
        given(|s| {
            s.auth = text("api_key");
            s.auth_secret = text("env:KEY");
            s.id_header = text(id);
        })
    };
    let problems = resolved(&settings("x-key"), "X-Key:hunter2").unwrap_err();
    assert_eq!(problems[0].key, "auth_secret");
    assert!(!problems[0].message.contains("hunter2"));
    // The name is free where the subscription gives the header another.
    assert!(resolved(&settings("x-other"), "webhook-id:hunter2").is_ok());
}
