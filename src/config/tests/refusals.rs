//! What is refused, and how it is told.

use std::time::Duration;

use super::problems;
use crate::config::Config;

/// A subscription with nothing wrong: each line of a case is added from line 5.
const HEAD: &str = "[[subscription]]\nmerchant = 'm'\nname = 'n'\nurl = 'https://h/'\n";

/// A text with one thing wrong, the line and key it is told under, and words of the remedy.
const VALUES: &[(&str, usize, &str, &str)] = &[
    (
        "[worker]\n\nlease = '10ms'",
        3,
        "worker.lease",
        "10ms is less than 1s; give a duration from 1s to 10m",
    ),
    (
        "[worker]\nlease = 10",
        2,
        "worker.lease",
        "a whole number; give a duration from zero up in quotes",
    ),
    (
        "[worker]\nlease = '-1s'",
        2,
        "worker.lease",
        "\"-1s\" is not a duration",
    ),
    (
        "[worker]\npoll_min = '50ms'",
        2,
        "worker.poll_min",
        "50ms is more than poll_max, 40ms",
    ),
    (
        "[worker]\nmax_data_bytes = 2000000",
        2,
        "worker.max_data_bytes",
        "2000000 is more than 1048576",
    ),
    ("[worker]\nname = ''", 2, "worker.name", "empty text"),
    (
        "[worker]\npage_row = 5",
        2,
        "worker.page_row",
        "not a known key; did you mean page_rows?",
    ),
    (
        "[worker]\ncolour = 5",
        2,
        "worker.colour",
        "not a known key; take it out",
    ),
    (
        "[lane]\nspill_after = '2s'",
        1,
        "lane",
        "not a known key; did you mean lanes?",
    ),
    (
        "worker = 5",
        1,
        "worker",
        "a whole number; give a section, [worker]",
    ),
    (
        "[database]\nmax_connections = '5'",
        2,
        "database.max_connections",
        "text; give a whole number, without quotes",
    ),
    (
        "[database]\nmax_connections = 0x7fffffffffffffffff",
        2,
        "database.max_connections",
        "too large",
    ),
    (
        "[database]\nurl = 'env:'",
        2,
        "database.url",
        "give env:NAME, file:PATH or a postgres:// URL",
    ),
    (
        "[lanes]\nprobe_interval_min = '1m'",
        2,
        "lanes.probe_interval_min",
        "or raise probe_interval_max",
    ),
    (
        "[egress]\nallow = ['127.0.0.0/8',\n'10.0.0.1']",
        3,
        "egress.allow",
        "for one address \"10.0.0.1/32\"",
    ),
    (
        "[gateway]\nallowed_origins = ['https://shop.example/']",
        2,
        "gateway.allowed_origins",
        "browsers spell https://shop.example",
    ),
    (
        "[gateway]\nallowed_origins = ['*']",
        2,
        "gateway.allowed_origins",
        "not an origin",
    ),
    (
        "[gateway]\ndevice = 'posData'",
        2,
        "gateway.device",
        "not a JSON pointer",
    ),
    (
        "[gateway]\nreceipt = [{ name = 'a' }]",
        2,
        "gateway.receipt",
        "source",
    ),
    (
        "[gateway]\nrate_per_token = 0",
        2,
        "gateway.rate_per_token",
        "1 to 1000000",
    ),
    (
        "[egress]\nallow = ['10.0.0.1/8']",
        2,
        "egress.allow",
        "give 10.0.0.0/8, or a longer prefix",
    ),
    (
        "[egress]\nports = ['443',\n'9-8']",
        3,
        "egress.ports",
        "not a range of ports",
    ),
    (
        "[egress]\nnat64_prefixes = ['64:ff9b::/95']",
        2,
        "egress.nat64_prefixes",
        "prefix lengths 32, 40, 48, 56, 64, 96",
    ),
    (
        "[egress]\nname_servers = ['dns.example']",
        2,
        "egress.name_servers",
        "not an address",
    ),
    (
        "[[egress.proxy_pool]]\nname = 'dmz'",
        1,
        "egress.proxy_pool.proxies",
        "missing",
    ),
    (
        "[[egress.proxy_pool]]\nname = 'dmz'\nproxies = ['http://u:hunter2@p:1']",
        3,
        "egress.proxy_pool.proxies",
        "where credentials points to",
    ),
    (
        "[[egress.proxy_pool]]\nname = 'dmz'\nproxies = ['https://p:1']",
        3,
        "egress.proxy_pool.proxies",
        "not a plain HTTP proxy's",
    ),
    (
        "[egress]\nallow = '10.0.0.0/8'",
        2,
        "egress.allow",
        "text; give an array in brackets",
    ),
    (
        "[http]\nlisten = 9464",
        2,
        "http.listen",
        "a whole number; give text in quotes",
    ),
    (
        "[http]\nlisten = ':9464'",
        2,
        "http.listen",
        "give one such as \"127.0.0.1:9464\"",
    ),
    (
        "[log]\nformat = 'xml'",
        2,
        "log.format",
        "give one of text, json",
    ),
    (
        "[maintenance]\nschedule = '5 * * * *'",
        2,
        "maintenance.schedule",
        "six fields, seconds first",
    ),
    (
        "[maintenance]\naudit_schedule = 'daily'",
        2,
        "maintenance.audit_schedule",
        "six fields, seconds first",
    ),
    (
        "[maintenance]\naudit_window = '1 minute'",
        2,
        "maintenance.audit_window",
        "give a duration from 1h to 30days",
    ),
    (
        "[subscription]\nname = 'n'",
        1,
        "subscription",
        "double brackets, [[subscription]]",
    ),
    (
        "\n[[subscription]]\nmerchant = 'm'\nname = 'n'",
        2,
        "subscription.url",
        "missing; give the endpoint's address",
    ),
    (
        "\n[[subscription]]\nname = 'n'\nurl = 'https://h/'",
        2,
        "subscription.merchant",
        "missing; give a name",
    ),
    ("\n\nx = ", 3, "", "see https://toml.io"),
];

#[test]
fn a_bad_value_is_told_with_its_line_key_and_remedy() {
    for &(text, line, key, words) in VALUES {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(
            (found[0].line, found[0].key.as_str()),
            (line, key),
            "{text}"
        );
        assert!(found[0].message.contains(words), "{text}: {}", found[0]);
    }
}

/// The same for lines that are added to `HEAD`.
const SETTINGS: &[(&str, usize, &str, &str)] = &[
    (
        "\nmax_in_flight = 501",
        6,
        "max_in_flight",
        "501 is more than 500; give a whole number from 1 to 500",
    ),
    (
        "timeout = '-5s'",
        5,
        "timeout",
        "is not a duration; give a duration from zero up",
    ),
    ("timeout = '11m'", 5, "timeout", "11m is more than 10m"),
    (
        "max_inflight = 5",
        5,
        "max_inflight",
        "did you mean max_in_flight?",
    ),
    ("max_attempts = 99999999999", 5, "max_attempts", "too large"),
    (
        "rate = 0x10\nretry_factor = 0.5",
        6,
        "retry_factor",
        "0.5 is less than 1",
    ),
    (
        "kinds = ['a',\n 5]",
        6,
        "kinds",
        "a whole number; give text in quotes",
    ),
    ("supersede = 'yes'", 5, "supersede", "give true or false"),
    (
        "profile = 'none'",
        5,
        "profile",
        "no [[profile]] is named \"none\"",
    ),
    (
        "fields = [{ name = 'a' }]",
        5,
        "fields",
        "field 1: the source is missing",
    ),
    (
        "retry = 'fixed'",
        1,
        "retry_interval",
        "missing, and retry is \"fixed\"",
    ),
    (
        "retry = 'fixed'\nretry_interval = 5",
        6,
        "retry_interval",
        "a whole number; give a duration",
    ),
];

#[test]
fn a_bad_setting_is_told_with_its_line_key_and_remedy() {
    for &(lines, line, key, words) in SETTINGS {
        let found = problems(&format!("{HEAD}{lines}"));
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        let expected = (line, format!("subscription.{key}"));
        assert_eq!((found[0].line, found[0].key.clone()), expected, "{lines}");
        assert!(found[0].message.contains(words), "{lines}: {}", found[0]);
    }
}

#[test]
fn all_problems_are_listed_at_once_by_line() {
    let text = "[worker]\nlease = '0s'\n[[subscription]]\nmerchant = 'm'\nname = 'n'\n\
                url = 'https:///path'\nmax_in_flight = 501\ntimeout = 7\ncolour = 1\n";
    let error = Config::parse("config.toml", text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "config.toml has 5 problems:\n  \
         line 2, worker.lease: 0s is less than 1s; give a duration from 1s to 10m\n  \
         line 6, subscription.url: a URL without a host; give one such as https://example.com/hook\n  \
         line 7, subscription.max_in_flight: 501 is more than 500; give a whole number from 1 to 500\n  \
         line 8, subscription.timeout: a whole number; give a duration from zero up in quotes, such as \"30m\", \"10s\" or \"5ms\"\n  \
         line 9, subscription.colour: not a known key; take it out; config.toml.example has every key"
    );
}

#[test]
fn a_second_subscription_of_the_same_name_points_to_the_first() {
    let found = problems(&format!("{HEAD}\n{HEAD}"));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].line, found[0].key.as_str()),
        (8, "subscription.name")
    );
    assert!(found[0].message.contains("as in line 1"), "{}", found[0]);
}

#[test]
fn a_subscription_is_checked_together_with_its_profile() {
    let with = |profile: &str, own: &str| {
        format!("{HEAD}profile = 'p'\n{own}\n[[profile]]\nname = 'p'\n{profile}\n")
    };
    // A profile need not be complete, and a subscription may complete it.
    let text = with(
        "auth = 'basic'\nretry = 'fixed'",
        "auth_secret = 'env:A'\nretry_interval = '1m'",
    );
    let config = Config::parse("config.toml", &text).unwrap();
    let settings = config.bases().layers(&config.subscriptions[0]).merged();
    assert_eq!(settings.auth.as_deref(), Some("basic"));
    assert_eq!(settings.retry_interval, Some(Duration::from_mins(1)));

    for (profile, own, line, key) in [
        // What is wrong in the profile is told once, there.
        ("max_in_flight = 0", "", 9, "profile.max_in_flight"),
        ("timeout = 5", "", 9, "profile.timeout"),
        // What does not go together is told at the subscription.
        (
            "encoding = 'json'",
            "method = 'GET'",
            1,
            "subscription.encoding",
        ),
        ("auth = 'basic'", "", 1, "subscription.auth_secret"),
        (
            "retry = 'fixed'\nretry_interval = 5",
            "",
            10,
            "profile.retry_interval",
        ),
    ] {
        let found = problems(&with(profile, own));
        assert_eq!(found.len(), 1, "{profile} {own}: {found:?}");
        assert_eq!((found[0].line, found[0].key.as_str()), (line, key));
    }
}
