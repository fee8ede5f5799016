//! URLs, header names and values, field maps, NVP, XML and TOML.

use posthorn::config::Config;
use posthorn::model::Settings;
use proptest::prelude::*;
use serde_json::json;

use crate::text::{damaged, hostile, json};
use crate::{cases, event, resolved, shaped};

const EXAMPLE: &str = include_str!("../../config.toml.example");

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
        mapped in any::<bool>(),
    ) {
        let mut settings = settings("https://example.com/?a=b".to_owned());
        settings.method = Some(form.0.to_owned());
        settings.encoding = Some(form.1.to_owned());
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
                    let text = std::str::from_utf8(&request.body).unwrap();
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
        text in prop_oneof![hostile(), damaged(EXAMPLE)],
    ) {
        if let Err(error) = Config::parse("config.toml", &text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
