//! Changes and settings in words.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;
use url::Url;

use crate::model::declaration::{Alteration, Change, Entry, Kind};

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

/// A paragraph for each change, and the sum.
pub fn changes(changes: &[Change], tense: Tense) -> String {
    let mut text = String::new();
    let [mut added, mut altered, mut disabled, mut removed] = [0; 4];
    for change in changes {
        // Writing to a String cannot fail.
        let _ = match change {
            Change::Add(entry) => {
                added += 1;
                writeln!(text, "+ {}{}", entry.name(), settings_of(entry))
            }
            Change::Alter(alteration) => {
                altered += 1;
                let name = alteration.after.name();
                writeln!(text, "~ {name}{}", alterations(alteration))
            }
            Change::Disable(entry) => {
                disabled += 1;
                writeln!(
                    text,
                    "- {}: disabled, because the file no longer has it",
                    entry.name()
                )
            }
            Change::Remove(entry) => {
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
    let keys = keys_of(entry);
    keys.into_iter().fold(String::new(), |text, key| {
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

/// The keys that an entry gives beside its name.
fn keys_of(entry: &Entry) -> Vec<&'static str> {
    let others = entry.kind.others().iter().copied();
    let head = others.filter(|&key| entry.head.contains_key(key));
    let settings = crate::model::Settings::KEYS.iter().copied();
    head.chain(settings.filter(|key| entry.settings.has(key)))
        .collect()
}

fn value_of(entry: &Entry, key: &str) -> String {
    let head = entry.head.get(key).map(|value| match value {
        Value::String(text) => toml::Value::from(text.clone()),
        Value::Bool(flag) => toml::Value::from(*flag),
        other => other.to_string().into(),
    });
    match head.or_else(|| entry.settings.to_toml(key)) {
        Some(value) => shown(key, &value),
        None => "not given".to_owned(),
    }
}

/// A setting's value in the spelling of the file; of a URL's query only the names, because
/// a value there may be a token.
pub fn shown(key: &str, value: &toml::Value) -> String {
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
            format!("\"{url}?{}\"", names.join("&"))
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
                Change::Add(before.clone()),
                Change::Alter(Box::new(Alteration {
                    before: before.clone(),
                    after,
                    keys: vec!["url", "timeout"],
                })),
                Change::Disable(before),
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
    fn counts_are_told_in_words() {
        assert_eq!(
            counts(&[hook(&json!({}))]),
            "0 profiles, 0 locks, 1 subscription"
        );
        assert!(changes(&[], Tense::Past).starts_with("nothing to change"));
    }
}
