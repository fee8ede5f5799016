mod refusals;

use std::path::Path;
use std::time::Duration;

use super::{Config, ConfigError, DatabaseUrl, Document, Problem, secrets};
use crate::model::secret::SecretRef;
use crate::model::settings::resolve;
use crate::model::{Identity, Settings};

const EXAMPLE: &str = include_str!("../../config.toml.example");

fn problems(text: &str) -> Vec<Problem> {
    match Config::parse("config.toml", text) {
        Err(ConfigError::Refused { problems, .. }) => problems,
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

/// The example with its sample of a subscription, whose lines stand behind a `#` without a
/// space, switched on.
fn example_with_its_sample() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|it: char| it != ' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// The same with each optional key, `# key = value`, and section, `# [[section]]`,
/// switched on.
fn example_with_all_keys() -> String {
    let is_key = |text: &str| {
        let key = text.split(" = ").next().unwrap_or("");
        text.contains(" = ")
            && key
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    example_with_its_sample()
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
    assert_eq!(config.subscriptions.len(), 0, "a copy of it sends nothing");
    let config = Config::parse("config.toml.example", &example_with_its_sample()).unwrap();
    assert_eq!(config.subscriptions.len(), 1);
    let every_key = example_with_all_keys();
    // The client certificate stands in PEM or in PKCS#12.
    for (alternative, is_pem) in [
        (&["client_pkcs12"][..], true),
        (&["client_cert", "client_key"], false),
    ] {
        let of_alternative = |line: &&str| alternative.iter().any(|key| line.starts_with(key));
        let text: Vec<&str> = every_key
            .lines()
            .filter(|line| !of_alternative(line))
            .collect();
        let full = Config::parse("config.toml.example", &text.join("\n")).unwrap();
        assert_eq!(full.worker.name.as_deref(), Some("worker-1"));
        let settings = &full.subscriptions[0].settings;
        assert_eq!(settings.client_cert.is_some(), is_pem);
        assert_eq!(settings.client_pkcs12.is_some(), !is_pem);
    }
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
        // The names of InstaMed's options are documented as what they stand for.
        if key.starts_with("Merchant") {
            assert!(EXAMPLE.contains(key), "config.toml.example lacks {path}");
            continue;
        }
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
    let example = Config::parse("config.toml.example", &example_with_its_sample()).unwrap();
    let default = Config::default();
    let sections = |config: &Config| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            config.database,
            config.worker,
            config.lanes,
            config.egress,
            config.secrets,
            config.http,
            config.gateway,
            config.log,
            config.maintenance
        )
    };
    assert_eq!(sections(&example), sections(&default));

    // The settings of the profile are the engine's own defaults, written out.
    let effect = |settings: &Settings| {
        let identity = Identity::unwritten("acme", "orders");
        format!("{:?}", resolve(identity, settings, &secrets::read).unwrap())
    };
    let url_alone = Settings {
        url: example.subscriptions[0].settings.url.clone(),
        ..Settings::default()
    };
    let written_out = example.bases().layers(&example.subscriptions[0]).merged();
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
    assert!(
        shown.contains("give env:NAME, file:PATH or secret:NAME"),
        "{shown}"
    );
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

#[test]
fn a_secret_of_the_database_is_no_part_of_the_file() {
    let file = |secret: &str| {
        format!(
            "[[subscription]]\nmerchant = 'm'\nname = 'n'\nurl = 'https://h/'\n\
             auth = 'basic'\nauth_secret = '{secret}'\nauth_secret_previous = 'env:POSTHORN_TEST_IS_NOT_SET'\n"
        )
    };
    let config = Config::parse("config.toml", &file("secret:orders")).unwrap();
    let unusable = config.check_secrets().unwrap_err().to_string();
    assert!(unusable.contains("POSTHORN_TEST_IS_NOT_SET"), "{unusable}");
    assert!(!unusable.contains("orders"), "{unusable}");
    let wrong = problems(&file("secret:two words"));
    assert_eq!(wrong[0].key, "subscription.auth_secret");
    let wrong = problems("[database]\nurl = 'secret:database'\n");
    assert!(wrong[0].message.contains("give env:NAME"), "{wrong:?}");
}

#[test]
fn a_proxy_pool_that_the_file_does_not_have_is_named() {
    let file = "[[subscription]]\nmerchant = 'm'\nname = 'n'\nurl = 'https://h/'\n\
                proxy_pool = 'dmz'\n";
    let config = Config::parse("config.toml", file).unwrap();
    let unusable = config.check_secrets().unwrap_err().to_string();
    assert!(
        unusable.contains("line 1, subscription m/n: proxy_pool: \"dmz\" is no proxy pool"),
        "{unusable}"
    );
    let pool = "[[egress.proxy_pool]]\nname = 'dmz'\nproxies = ['http://p.example:3128']\n";
    let config = Config::parse("config.toml", &format!("{file}{pool}")).unwrap();
    config.check_secrets().unwrap();
}

#[test]
fn the_keys_are_read_from_where_they_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let config = Config::parse(
        "config.toml",
        &format!("[secrets]\nkeys = ['file:{}']", path.display()),
    )
    .unwrap();
    std::fs::write(&path, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    assert_eq!(config.secrets.keyring().unwrap().ids().len(), 1);
    std::fs::write(&path, "hunter2").unwrap();
    let error = config.secrets.keyring().unwrap_err().to_string();
    assert!(
        error.starts_with("secrets.keys: the content of file:"),
        "{error}"
    );
    assert!(error.contains("not 32 bytes in base64"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    for text in ["secret:key", "hunter2"] {
        let wrong = problems(&format!("[secrets]\nkeys = ['{text}']"));
        assert!(
            wrong[0].message.contains("give env:NAME or file:PATH"),
            "{wrong:?}"
        );
        assert!(!wrong[0].message.contains("hunter2"), "{wrong:?}");
    }
}
