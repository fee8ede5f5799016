mod certificates;
mod credentials;
mod fields;
mod format;
mod headers;
mod refusals;
mod signing;

use std::time::Duration;

use secrecy::SecretSlice;
use serde_json::json;

use super::{Identity, Problem, Settings, resolve};
use crate::model::secret::{SecretError, SecretRef};
use crate::model::{Auth, Encoding, Method, Schedule, Scope, Subscription};

fn given(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings {
        url: Some("https://example.com/hook".to_owned()),
        ..Settings::default()
    };
    change(&mut settings);
    settings
}

fn identity() -> Identity {
    Identity::unwritten("m", "n")
}

/// Resolves with a secret store that holds `content` under every name but `GONE`.
fn resolved(settings: &Settings, content: &str) -> Result<Subscription, Vec<Problem>> {
    resolve(identity(), settings, &|from| match from {
        SecretRef::Env(name) if name == "GONE" => Err(SecretError::NotSet(name.clone())),
        _ => Ok(SecretSlice::from(content.as_bytes().to_vec())),
    })
}

#[allow(clippy::unnecessary_wraps, reason = "what a setting holds")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_url_alone_has_the_engines_defaults() {
    let subscription = resolved(&given(|_| {}), "").unwrap();
    assert_eq!(subscription.form.method, Method::Post);
    assert_eq!(subscription.form.encoding, Encoding::Json);
    assert!(subscription.form.fields.is_none());
    assert!(subscription.success.statuses.contains(204));
    assert!(!subscription.success.statuses.contains(300));
    assert!(matches!(subscription.auth, Auth::None));
    assert_eq!(subscription.retry.max_attempts, None);
    assert_eq!(subscription.retry.max_age, Some(Duration::from_hours(72)));
    assert_eq!(subscription.retry.cap, Duration::from_hours(1));
    assert!(subscription.retry.honour_retry_after);
    assert_eq!(subscription.timeout, Duration::from_secs(10));
    assert_eq!(subscription.max_in_flight, 10);
    assert_eq!(subscription.rate, None);
}

#[test]
fn an_empty_list_of_kinds_or_statuses_is_none_of_them() {
    let all = resolved(&given(|_| {}), "").unwrap();
    assert_eq!((all.kinds, all.statuses), (None, None));
    let none = resolved(
        &given(|s| {
            s.kinds = Some(vec![]);
            s.statuses = Some(vec![]);
        }),
        "",
    )
    .unwrap();
    assert_eq!((none.kinds, none.statuses), (Some(vec![]), Some(vec![])));
}

#[test]
fn only_a_template_of_transactions_needs_no_url() {
    let template = given(|s| {
        s.url = None;
        s.scope = text("transaction");
        s.labels = Some(json!({"posting_error": "posting error"}));
        s.disable_statuses = Some(vec!["410".to_owned()]);
    });
    let template = resolved(&template, "").unwrap();
    assert_eq!(template.scope, Scope::Transaction);
    assert_eq!(template.form.url, None);
    assert!(template.success.disable.contains(410));
    let wrong = given(|s| {
        s.url = text("nowhere");
        s.scope = text("transaction");
    });
    assert_eq!(wrong.problems()[0].key, "url");
}

#[test]
fn a_subscription_wins_over_its_profile() {
    let profile = Settings {
        method: text("GET"),
        timeout: Some(Duration::from_secs(20)),
        ..Settings::default()
    };
    let merged = given(|s| s.timeout = Some(Duration::from_secs(3))).or(&profile);
    let subscription = resolved(&merged, "").unwrap();
    assert_eq!(subscription.timeout, Duration::from_secs(3));
    assert_eq!(subscription.form.method, Method::Get);
    assert_eq!(subscription.form.encoding, Encoding::Query);
}

#[test]
fn all_problems_show_at_once_those_of_secrets_included() {
    let settings = given(|s| {
        s.url = text("nowhere");
        s.max_in_flight = Some(0);
        s.auth = text("basic");
        s.auth_secret = text("env:GONE");
    });
    let problems = resolved(&settings, "").unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["url", "max_in_flight", "auth_secret"]);
    assert!(problems[2].message.contains("GONE is not set"));
}

#[test]
fn a_schedule_is_not_cut_short_by_a_default() {
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let fixed = resolved(
        &given(|s| {
            s.retry = text("fixed");
            s.retry_interval = Some(hours(6));
            s.max_attempts = Some(20);
        }),
        "",
    )
    .unwrap();
    assert_eq!(fixed.retry.schedule, Schedule::Fixed(hours(6)));
    assert_eq!(fixed.retry.cap, hours(6));
    assert_eq!(fixed.retry.max_age, None);

    let list = resolved(
        &given(|s| {
            s.retry = text("list");
            s.retry_delays = Some(vec![hours(1), hours(96)]);
        }),
        "",
    )
    .unwrap();
    assert_eq!(list.retry.cap, hours(96));
    assert_eq!(list.retry.max_age, None);
}

#[test]
fn debug_names_the_keys_without_their_values() {
    let settings = given(|s| s.auth_secret = text("user:hunter2"));
    assert_eq!(
        format!("{settings:?}"),
        "Settings{\"url\", \"auth_secret\"}"
    );
}

#[test]
fn a_profile_may_be_incomplete_but_not_wrong() {
    let profile = Settings {
        auth: text("basic"),
        retry: text("fixed"),
        max_in_flight: Some(900),
        ..Settings::default()
    };
    let keys: Vec<_> = profile
        .profile_problems()
        .iter()
        .map(|problem| problem.key)
        .collect();
    assert_eq!(keys, ["max_in_flight"]);
}
