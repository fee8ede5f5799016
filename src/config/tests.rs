#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod refusals;

use std::path::Path;
use std::time::Duration;

use chrono::DateTime;
use uuid::Uuid;

use super::{Config, ConfigError, DatabaseUrl, Document, Problem, secrets};
use crate::model::secret::SecretRef;
use crate::model::settings::resolve;
use crate::model::{Identity, Settings, Shard};

const EXAMPLE: &str = include_str!("../../config.toml.example");

fn problems(text: &str) -> Vec<Problem> {
    match Config::parse("config.toml", text) {
        Err(ConfigError::Refused { problems, .. }) => problems,
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

/// The example with each optional key, `# key = value`, and section, `# [[section]]`,
/// switched on.
fn example_with_all_keys() -> String {
    let is_key = |text: &str| {
        let key = text.split(" = ").next().unwrap_or("");
        text.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_key(rest) || rest.starts_with("[[") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn the_example_loads_as_it_stands_and_with_every_optional_key() {
    let config = Config::parse("config.toml.example", EXAMPLE).unwrap();
    assert_eq!(config.subscriptions.len(), 1);
    let full = Config::parse("config.toml.example", &example_with_all_keys()).unwrap();
    assert_eq!(full.worker.name.as_deref(), Some("worker-1"));
    assert!(full.subscriptions[0].settings.client_cert.is_some());
}

#[test]
fn the_example_has_every_key_that_is_read() {
    let text = example_with_all_keys();
    let document = Document::new(&text);
    document.read(Config::read).unwrap();
    let asked = document.asked();
    let found = |path: &str| asked.iter().any(|(asked, found)| asked == path && *found);
    for (path, _) in &asked {
        let key = path.rsplit('.').next().unwrap();
        let documented = if Settings::KEYS.contains(&key) && path.matches('.').count() == 1 {
            found(path) || found(&format!("profile.{key}")) || found(&format!("subscription.{key}"))
        } else {
            found(path)
        };
        assert!(documented, "config.toml.example lacks {path}");
    }
}

#[test]
fn the_example_shows_the_defaults() {
    let example = Config::parse("config.toml.example", EXAMPLE).unwrap();
    let default = Config::default();
    let sections = |config: &Config| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            config.database,
            config.worker,
            config.lanes,
            config.egress,
            config.http,
            config.log,
            config.maintenance
        )
    };
    assert_eq!(sections(&example), sections(&default));

    // The settings of the profile are the engine's own defaults, written out.
    let effect = |settings: &Settings| {
        let identity = Identity {
            id: Uuid::nil(),
            merchant: "acme".to_owned(),
            name: "orders".to_owned(),
            shard: Shard(0),
            revision: 1,
            created_at: DateTime::UNIX_EPOCH,
            enabled: true,
            paused: false,
        };
        format!("{:?}", resolve(identity, settings, &secrets::read).unwrap())
    };
    let url_alone = Settings {
        url: example.subscriptions[0].settings.url.clone(),
        ..Settings::default()
    };
    let written_out = example.settings_of(&example.subscriptions[0]);
    assert_eq!(effect(&written_out), effect(&url_alone));
}

#[test]
fn an_empty_file_is_a_configuration() {
    let config = Config::parse("config.toml", "").unwrap();
    assert_eq!(config.worker.lease, Duration::from_secs(10));
    assert!(
        matches!(config.database.url, DatabaseUrl::Kept(SecretRef::Env(name)) if name == "DATABASE_URL")
    );
}

#[test]
fn a_secret_is_never_shown() {
    let text = "[database]\nurl = 'postgres://u:hunter2@h/d'\n\
        [[subscription]]\nmerchant = 'm'\nname = 'n'\nurl = 'https://h/'\n\
        auth = 'hunter2'\nauth_secret = 'user:hunter2'\nclient_key = 'hunter2'\n\
        [[subscription]]\nmerchant = 'm'\nname = 'other'\nurl = 'https://u:hunter2@h/?t=hunter2'\n\
        fields = [{ name = 'a', source = 'hunter2' }]\n";
    let error = Config::parse("config.toml", text).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("give env:NAME or file:PATH"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let syntax = problems("auth_secret = hunter2 x");
    assert!(!format!("{syntax:?}").contains("hunter2"), "{syntax:?}");

    let fine = "[database]\nurl = 'postgres://u:hunter2@h/d'\n[[subscription]]\nmerchant = 'm'\n\
                name = 'n'\nurl = 'https://h/?token=hunter2'\n";
    let config = Config::parse("config.toml", fine).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_file_that_is_not_there_says_what_to_do() {
    let error = Config::load(Path::new("/nonexistent/config.toml")).unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.contains("/nonexistent/config.toml cannot be read"),
        "{shown}"
    );
    assert!(shown.contains("config.toml.example"), "{shown}");
}
