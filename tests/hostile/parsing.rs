//! URLs, header names and values, field maps, NVP, XML and TOML.

use std::sync::LazyLock;

use posthorn::config::Config;
use posthorn::model::{Charset, Settings};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::text::{damaged, hostile, json};
use crate::{cases, event, resolved, shaped};

/// With its sample of a subscription, whose lines stand behind a `#` without a space.
static EXAMPLE: LazyLock<String> = LazyLock::new(|| {
    let lines = include_str!("../../config.toml.example").lines();
    let lines = lines.map(|line| match line.strip_prefix('#') {
        Some(sample) if !sample.starts_with([' ', '#']) => sample,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
});

fn settings(url: String) -> Settings {
    Settings {
        url: Some(url),
        ..Settings::default()
    }
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn a_url_is_taken_or_refused(url in hostile(), prefix in "(https://|http://|HTTPS://|)") {
        if let Ok(subscription) = resolved(&settings(prefix + &url), "") {
            let url = subscription.form.url.as_ref().unwrap();
            prop_assert!(matches!(url.scheme(), "https" | "http"));
            prop_assert!(url.username().is_empty() && url.password().is_none());
            prop_assert!(url.host().is_some());
            prop_assert!(!url.as_str().chars().any(char::is_control));
            let _ = shaped(&event("approved", "{}"), &subscription);
        }
    }

    #[test]
    fn a_header_is_taken_or_refused(text in hostile(), auth in "(api_key|basic)") {
        let mut settings = settings("https://example.com/".to_owned());
        settings.auth = Some(auth);
        settings.auth_secret = Some("env:SECRET".to_owned());
        if let Ok(subscription) = resolved(&settings, &text) {
            let request = shaped(&event("approved", "{}"), &subscription);
            let Ok(request) = request else { return Ok(()) };
            for (name, value) in &request.headers {
                prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                prop_assert!(!["host", "content-length", "transfer-encoding", "connection"]
                    .contains(&name.as_str()));
            }
        }
    }

    #[test]
    fn a_fixed_header_is_taken_or_refused(
        name in prop_oneof![hostile(), Just("X-Own".to_owned())],
        text in hostile(),
        is_secret in any::<bool>(),
    ) {
        let mut settings = settings("https://example.com/".to_owned());
        let value = if is_secret { "env:SECRET" } else { &text };
        settings.headers = Some(Value::from_iter([(name.clone(), value)]));
        if let Ok(subscription) = resolved(&settings, &text) {
            let request = shaped(&event("approved", "{}"), &subscription).unwrap();
            let value = &request.headers[name.as_str()];
            prop_assert!(value.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')));
            prop_assert!(value.is_sensitive() || !is_secret);
            prop_assert!(subscription.form.fixed.iter().any(|fixed| *fixed.spelling == *name));
        }
    }
}

proptest! {
    #![proptest_config(cases(5_000))]

    #[test]
    fn every_encoding_writes_or_refuses_any_data(
        data in prop_oneof![json().prop_map(|value| value.to_string()), hostile()],
        status in hostile(),
        names in prop::collection::vec(hostile(), 1..4),
        pointers in prop::collection::vec(hostile(), 1..4),
        form in prop::sample::select(&[("POST", "json"), ("POST", "xml"), ("POST", "nvp"), ("GET", "query")]),
        charset in prop::sample::select(&["unsaid", "utf-8", "iso-8859-1", "windows-1252"]),
        (nested, space) in (prop::sample::select(&["dotted", "brackets", "json"]), prop::sample::select(&["+", "%20"])),
        mapped in any::<bool>(),
    ) {
        let mut settings = settings("https://example.com/?a=b".to_owned());
        settings.method = Some(form.0.to_owned());
        settings.encoding = Some(form.1.to_owned());
        if form.1 != "json" {
            settings.charset = Some(charset.to_owned());
        }
        settings.nested = Some(nested.to_owned());
        settings.space = Some(space.to_owned());
        if mapped {
            let sources = ["status".to_owned(), "/a".to_owned()].into_iter();
            let sources = sources.chain(pointers.iter().map(|pointer| format!("/{pointer}")));
            let fields = names.iter().zip(sources).map(|(name, source)| {
                json!({"name": name, "source": source, "omit_when": "missing"})
            });
            settings.fields = Some(fields.collect());
        }
        if let Ok(subscription) = resolved(&settings, "")
            && let Ok(request) = shaped(&event(&status, &data), &subscription)
        {
            match form.1 {
                "xml" => {
                    let text: String = if subscription.form.charset == Charset::Utf8 {
                        String::from_utf8(request.body.to_vec()).unwrap()
                    } else {
                        request.body.iter().map(|byte| char::from(*byte)).collect()
                    };
                    let illegal = |c: char| matches!(c, '\0'..'\t' | '\u{b}' | '\u{c}' | '\u{e}'..' ' | '\u{fffe}' | '\u{ffff}');
                    prop_assert!(!text.contains(illegal), "{text}");
                    prop_assert!(!text.contains("<!") && !text.contains("]]>"), "{text}");
                }
                "query" => prop_assert_eq!(request.url.host_str(), Some("example.com")),
                "nvp" => prop_assert!(request.body.iter().all(u8::is_ascii_graphic)),
                _ => {}
            }
        }
    }

    #[test]
    fn any_toml_is_a_configuration_or_a_list_of_problems(
        text in prop_oneof![hostile(), damaged(&EXAMPLE)],
    ) {
        if let Err(error) = Config::parse("config.toml", &text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
