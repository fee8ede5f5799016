//! Each impossible value of a setting, one at a time.

use std::time::Duration;

use serde_json::json;

use super::{given, resolved, text};
use crate::model::Settings;

/// One wrong setting, the key it is told under, and words of the remedy.
type Case = (fn(&mut Settings), &'static str, &'static str);

const CASES: &[Case] = &[
    (
        |s| s.url = None,
        "url",
        "missing; give the endpoint's address",
    ),
    (
        |s| s.url = text("ftp://h/"),
        "url",
        "not an http:// or https:// URL",
    ),
    (
        |s| s.url = text("https:h"),
        "url",
        "not an http:// or https:// URL",
    ),
    (|s| s.url = text("https:///hook"), "url", "without a host"),
    (|s| s.url = text("https://"), "url", "without a host"),
    (|s| s.url = text("https://?a"), "url", "without a host"),
    (|s| s.url = text("https://:80/"), "url", "without a host"),
    (|s| s.url = text("https://u:p@h/"), "url", "take it out"),
    (|s| s.url = text("https://@h/"), "url", "take it out"),
    (|s| s.url = text("https://h/\n"), "url", "control character"),
    (|s| s.url = text("https://h\\@i/"), "url", "backslash"),
    (|s| s.url = text("https://h/#a"), "url", "fragment"),
    (|s| s.url = text("https://h:99999/"), "url", "host or port"),
    (|s| s.url = text("https://h:0/"), "url", "port 0"),
    (
        |s| s.method = text("PUT"),
        "method",
        "give one of POST, GET",
    ),
    (
        |s| s.encoding = text("yaml"),
        "encoding",
        "json, xml, nvp, query",
    ),
    (
        |s| s.charset = text("latin1"),
        "charset",
        "unsaid, utf-8, iso-8859-1, windows-1252",
    ),
    (
        |s| s.charset = text("iso-8859-1"),
        "charset",
        "which is UTF-8 always",
    ),
    (|s| s.space = text(" "), "space", "give one of +, %20"),
    (
        |s| s.encoding = text("query"),
        "method",
        "give method = \"GET\"",
    ),
    (
        |s| {
            s.method = text("GET");
            s.encoding = text("nvp");
        },
        "encoding",
        "give \"query\"",
    ),
    (|s| s.xml_root = text("a b"), "xml_root", "not an XML name"),
    (
        |s| s.kinds = Some(vec![String::new()]),
        "kinds",
        "pattern without text",
    ),
    (
        |s| s.statuses = Some(vec![" ".to_owned()]),
        "statuses",
        "pattern without text",
    ),
    (
        |s| s.success_statuses = Some(vec![]),
        "success_statuses",
        "an empty list",
    ),
    (
        |s| s.success_statuses = Some(vec!["299-200".to_owned()]),
        "success_statuses",
        "within 100 to 599",
    ),
    (
        |s| s.give_up_statuses = Some(vec!["99".to_owned()]),
        "give_up_statuses",
        "within 100 to 599",
    ),
    (
        |s| s.give_up_statuses = Some(vec!["600".to_owned()]),
        "give_up_statuses",
        "within 100 to 599",
    ),
    (
        |s| s.disable_statuses = Some(vec!["gone".to_owned()]),
        "disable_statuses",
        "within 100 to 599",
    ),
    (
        |s| s.disable_statuses = Some(vec!["299-410".to_owned()]),
        "disable_statuses",
        "counts as delivered",
    ),
    (
        |s| s.scope = text("shop"),
        "scope",
        "give one of merchant, transaction",
    ),
    (
        |s| s.emit = text("never"),
        "emit",
        "give one of every, change",
    ),
    (
        |s| s.labels = Some(json!(["pending"])),
        "labels",
        "not an object",
    ),
    (
        |s| s.labels = Some(json!({"pending-retry": "x"})),
        "labels",
        "\"pending-retry\" is not a state; give one of pending, pending_retry, delivered",
    ),
    (
        |s| s.labels = Some(json!({"delivered": 1})),
        "labels",
        "delivered has no text",
    ),
    (
        |s| s.labels = Some(json!({"delivered": " "})),
        "labels",
        "delivered has no text",
    ),
    (
        |s| s.success_body = text(" "),
        "success_body",
        "without content",
    ),
    (
        |s| s.auth = text("digest"),
        "auth",
        "none, basic, api_key, oauth2",
    ),
    (
        |s| s.auth = text("basic"),
        "auth_secret",
        "env:NAME, file:PATH or secret:NAME",
    ),
    (
        |s| s.auth_secret = text("env:A"),
        "auth",
        "\"basic\", \"api_key\" or \"oauth2\"",
    ),
    (
        |s| s.auth_secret_previous = text("env:A"),
        "auth_secret_previous",
        "given without auth_secret",
    ),
    (
        |s| {
            s.auth = text("basic");
            s.auth_secret = text("env:A");
            s.auth_secret_previous = text("env:A");
        },
        "auth_secret_previous",
        "the same as auth_secret",
    ),
    (
        |s| {
            s.auth = text("oauth2");
            s.auth_secret = text("secret:a");
        },
        "oauth2_token_url",
        "such as https://example.com/oauth2/token",
    ),
    (
        |s| s.oauth2_token_url = text("https://h/token"),
        "auth",
        "give \"oauth2\"",
    ),
    (
        |s| {
            s.auth = text("none");
            s.oauth2_token_url = text("https://u:p@h/token");
        },
        "oauth2_token_url",
        "take it out",
    ),
    (
        |s| s.oauth2_client_auth = text("header"),
        "oauth2_client_auth",
        "basic, body",
    ),
    (
        |s| s.oauth2_scope = text(" "),
        "oauth2_scope",
        "as the token server names it",
    ),
    (
        |s| s.oauth2_audience = text("a\nb"),
        "oauth2_audience",
        "as the token server names it",
    ),
    (
        |s| {
            s.client_pkcs12 = text("file:a");
            s.client_cert = text("file:b");
            s.client_key = text("file:c");
        },
        "client_pkcs12",
        "give one or the other",
    ),
    (
        |s| s.client_pkcs12_password = text("env:A"),
        "client_pkcs12_password",
        "without client_pkcs12",
    ),
    (
        |s| {
            s.url = text("http://h/");
            s.client_pkcs12 = text("file:a");
        },
        "client_pkcs12",
        "give an https:// url",
    ),
    (
        |s| s.ca_cert = text("secret:a/b"),
        "ca_cert",
        "env:NAME, file:PATH or secret:NAME",
    ),
    (
        |s| s.client_cert = text("env:A"),
        "client_key",
        "private key too",
    ),
    (
        |s| s.client_key = text("env:A"),
        "client_cert",
        "certificate too",
    ),
    (
        |s| s.ca_cert = text("/etc/ca.pem"),
        "ca_cert",
        "env:NAME, file:PATH or secret:NAME",
    ),
    (
        |s| s.source_addresses = Some(vec!["eth0".to_owned()]),
        "source_addresses",
        "\"eth0\" is not an IP address",
    ),
    (
        |s| s.source_addresses = Some(vec![]),
        "source_addresses",
        "an empty list",
    ),
    (
        |s| s.source_addresses = Some(vec!["0.0.0.0".to_owned()]),
        "source_addresses",
        "not the address of one machine",
    ),
    (
        |s| s.proxy_pool = text(" "),
        "proxy_pool",
        "without content",
    ),
    (
        |s| s.success_statuses = Some(vec!["200-399".to_owned()]),
        "success_statuses",
        "leave 300 to 399 out",
    ),
    (
        |s| s.retry = text("never"),
        "retry",
        "fixed, exponential, list",
    ),
    (|s| s.retry = text("fixed"), "retry_interval", "missing"),
    (
        |s| s.retry = text("list"),
        "retry_delays",
        "missing or empty",
    ),
    (
        |s| s.retry_delays = Some(vec![Duration::ZERO]),
        "retry",
        "retry = \"list\"",
    ),
    (
        |s| s.retry_interval = Some(Duration::from_secs(2_592_001)),
        "retry_interval",
        "is more than 30days",
    ),
    (
        |s| s.retry_factor = Some(0.9),
        "retry_factor",
        "0.9 is less than 1",
    ),
    (
        |s| s.retry_factor = Some(f64::NAN),
        "retry_factor",
        "is not a number",
    ),
    (
        |s| s.retry_jitter = Some(1.5),
        "retry_jitter",
        "give a number from 0 to 1",
    ),
    (
        |s| s.retry_cap = Some(Duration::from_secs(1)),
        "retry_cap",
        "the schedule's own delay of 5s",
    ),
    (
        |s| s.max_attempts = Some(0),
        "max_attempts",
        "0 is less than 1",
    ),
    (
        |s| s.max_age = Some(Duration::ZERO),
        "max_age",
        "0s is less than 1ms",
    ),
    (
        |s| s.timeout = Some(Duration::ZERO),
        "timeout",
        "0s is less than 1ms; give a duration from 1ms to 10m",
    ),
    (
        |s| s.timeout = Some(Duration::from_secs(601)),
        "timeout",
        "10m 1s is more than 10m",
    ),
    (
        |s| s.connect_timeout = Some(Duration::ZERO),
        "connect_timeout",
        "0s is less than 1ms",
    ),
    (
        |s| s.max_in_flight = Some(501),
        "max_in_flight",
        "501 is more than 500; give a whole number from 1 to 500",
    ),
    (
        |s| s.max_in_flight = Some(0),
        "max_in_flight",
        "0 is less than 1",
    ),
    (|s| s.rate = Some(0.0), "rate", "0 is less than 0.0001"),
    (
        |s| s.rate = Some(f64::INFINITY),
        "rate",
        "inf is more than 1000000",
    ),
    (|s| s.order = text("strict"), "order", "none, transaction"),
];

#[test]
fn an_impossible_value_is_refused_with_its_key_and_remedy() {
    for (index, (change, key, words)) in CASES.iter().enumerate() {
        let problems = given(change).problems();
        assert_eq!(problems.len(), 1, "case {index}, {key}: {problems:?}");
        assert_eq!(problems[0].key, *key, "case {index}: {}", problems[0]);
        assert!(
            problems[0].message.contains(words),
            "case {index}: {}",
            problems[0]
        );
        // The same refusal where it takes effect.
        assert!(resolved(&given(change), "a:b").is_err(), "case {index}");
    }
}
