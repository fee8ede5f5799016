//! Changes and settings in words.

use std::fmt::Write;
use std::path::Path;

use url::Url;

use crate::model::OneLine;
use crate::model::declaration::{Alteration, Entry, Kind, Plan, PlannedChange, listed};
use crate::model::settings::url::without_credentials as without_credentials_of;
use crate::store::declared::needs_consent;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tense {
    Future,
    Past,
}

/// `2 profiles, 1 lock, 14 subscriptions`.
pub fn counts(entries: &[Entry]) -> String {
    let counts = Kind::ALL.map(|kind| {
        let count = entries.iter().filter(|entry| entry.kind == kind).count();
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {}{plural}", kind.section())
    });
    counts.join(", ")
}

/// To leave out every section is more likely a mistake, or the file of a worker that others
/// configure, than the wish to disable everything.
pub fn nothing_declared(file: &Path) -> String {
    format!(
        "{} has no [[profile]], [[lock]] or [[subscription]], so it changes nothing; \
         to switch a subscription off, give it enabled = false",
        file.display()
    )
}

/// What a file changes, and what has to be known about it.
pub fn plan(plan: &Plan, tense: Tense) -> String {
    let mut text = changes(&plan.changes, tense);
    if tense == Tense::Future && needs_consent(plan) {
        text += "so many subscriptions and locks go only with posthorn config apply --yes\n";
    }
    if !plan.unclaimed.is_empty() {
        let names = listed(&plan.unclaimed);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "not in this file, and left alone because a file without an owner had them: {names}"
        );
    }
    text
}

/// A paragraph for each change, and the sum.
fn changes(changes: &[PlannedChange], tense: Tense) -> String {
    let mut text = String::new();
    let [mut added, mut altered, mut disabled, mut removed] = [0; 4];
    for change in changes {
        // Writing to a String cannot fail.
        let _ = match change {
            PlannedChange::Add(entry) => {
                added += 1;
                writeln!(text, "+ {}{}", entry.name(), settings_of(entry))
            }
            PlannedChange::Alter(alteration) => {
                altered += 1;
                let name = alteration.after.name();
                writeln!(text, "~ {name}{}", alterations(alteration))
            }
            PlannedChange::Disable(entry) => {
                disabled += 1;
                writeln!(
                    text,
                    "- {}: disabled, because the file no longer has it",
                    entry.name()
                )
            }
            PlannedChange::Remove(entry) => {
                removed += 1;
                writeln!(
                    text,
                    "- {}: removed, because the file no longer has it",
                    entry.name()
                )
            }
        };
    }
    let sums = [
        (added, "add", "added"),
        (altered, "change", "changed"),
        (disabled, "disable", "disabled"),
        (removed, "remove", "removed"),
    ];
    let told: Vec<String> = sums
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, to_do, done)| match tense {
            Tense::Future => format!("{count} to {to_do}"),
            Tense::Past => format!("{count} {done}"),
        })
        .collect();
    if told.is_empty() {
        return "nothing to change: the database is as the file says\n".to_owned();
    }
    text + &told.join(", ") + "\n"
}

fn settings_of(entry: &Entry) -> String {
    entry.keys().into_iter().fold(String::new(), |text, key| {
        text + &format!("\n    {key} = {}", value_of(entry, key))
    })
}

/// A row that is only taken over has no key that differs.
fn alterations(alteration: &Alteration) -> String {
    let Alteration {
        before,
        after,
        keys,
    } = alteration;
    if keys.is_empty() {
        return ": becomes the file's; its settings stay".to_owned();
    }
    keys.iter().fold(String::new(), |text, key| {
        text + &format!(
            "\n    {key}: {} → {}",
            value_of(before, key),
            value_of(after, key)
        )
    })
}

fn value_of(entry: &Entry, key: &str) -> String {
    match entry.to_toml(key) {
        Some(value) => shown(key, &value),
        None => "not given".to_owned(),
    }
}

/// A setting's value in the spelling of the file, on one line; of a URL's query only the names,
/// because a value there may be a token.
pub fn shown(key: &str, value: &toml::Value) -> String {
    let value = without_credentials(key, value);
    let url = if key.ends_with("url") {
        value.as_str()
    } else {
        None
    };
    match url.and_then(|text| Url::parse(text).ok()) {
        Some(mut url) if url.query().is_some() => {
            let names: Vec<String> = url
                .query_pairs()
                .map(|(name, _)| format!("{name}=…"))
                .collect();
            url.set_query(None);
            format!("\"{url}?{}\"", OneLine(&names.join("&")))
        }
        _ => OneLine(&value.to_string()).to_string(),
    }
}

/// A value as it stands, but for a user name and a password in a URL.
pub fn without_credentials(key: &str, value: &toml::Value) -> toml::Value {
    match value {
        toml::Value::String(text) if key.ends_with("url") => {
            toml::Value::String(without_credentials_of(text))
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hook(more: &Value) -> Entry {
        let mut row = json!({"merchant": "acme", "name": "hook", "enabled": true});
        for (key, value) in more.as_object().into_iter().flatten() {
            row[key] = value.clone();
        }
        Entry::of_row(Kind::Subscription, &row)
    }

    #[test]
    fn changes_are_told_in_words() {
        let before = hook(&json!({"timeout": "PT20S"}));
        let after = hook(&json!({"timeout": "PT5S", "url": "https://h/a?token=hunter2&b="}));
        let told = changes(
            &[
                PlannedChange::Add(before.clone()),
                PlannedChange::Alter(Box::new(Alteration {
                    before: before.clone(),
                    after,
                    keys: vec!["url", "timeout"],
                })),
                PlannedChange::Disable(before),
            ],
            Tense::Future,
        );
        assert_eq!(
            told,
            "+ subscription acme/hook\n    enabled = true\n    timeout = \"20s\"\n\
             ~ subscription acme/hook\n    url: not given → \"https://h/a?token=…&b=…\"\n    \
             timeout: \"20s\" → \"5s\"\n\
             - subscription acme/hook: disabled, because the file no longer has it\n\
             1 to add, 1 to change, 1 to disable\n"
        );
    }

    #[test]
    fn a_password_in_a_url_is_not_told() {
        for key in ["url", "oauth2_token_url"] {
            let value = toml::Value::from("https://acme:s3cret@h/a?token=s3cret");
            assert_eq!(shown(key, &value), r#""https://***@h/a?token=…""#);
            let exported = without_credentials(key, &value);
            assert_eq!(exported.as_str(), Some("https://***@h/a?token=s3cret"));
        }
    }

    #[test]
    fn counts_are_told_in_words() {
        assert_eq!(
            counts(&[hook(&json!({}))]),
            "0 profiles, 0 locks, 1 subscription"
        );
        assert!(changes(&[], Tense::Past).starts_with("nothing to change"));
    }
}
