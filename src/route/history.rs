//! From the changes of the configuration to the versions of each subscription. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::versions::Versions;
use crate::model::change::{Kind, SettingsChange};
use crate::model::settings::{Layers, LockReach, resolve_matching};
use crate::model::{Identity, Settings, Shard};

/// The configuration at one moment, moved forward change by change.
#[derive(Debug, Default)]
pub struct History {
    subscriptions: HashMap<String, Row>,
    profiles: HashMap<String, Arc<Settings>>,
    locks: HashMap<String, (LockReach, Arc<Settings>)>,
    versions: Versions,
}

#[derive(Clone, Debug)]
struct Row {
    identity: Identity,
    profile: Option<String>,
    settings: Settings,
}

impl History {
    /// Moves the configuration forward by the next change; changes come by revision.
    pub fn take(&mut self, change: SettingsChange) {
        let SettingsChange {
            kind,
            subject,
            at,
            row,
            own,
        } = change;
        match (kind, row) {
            (Kind::Subscription, Some(row)) => {
                let Some(row) = Row::read(&row) else { return };
                self.note(&row, at, &own);
                self.subscriptions.insert(subject, row);
            }
            (Kind::Profile, Some(row)) => {
                let settings = Arc::new(Settings::of_row(&row));
                self.profiles.insert(subject.clone(), settings);
                self.note_all(at, &own, |row| row.profile.as_ref() == Some(&subject));
            }
            (Kind::Lock, Some(row)) => {
                let reach = LockReach {
                    merchant: text(&row, "merchant"),
                    profile: text(&row, "profile"),
                };
                let settings = Arc::new(Settings::of_row(&row));
                self.locks.insert(subject, (reach, settings));
                self.note_all(at, &own, |_| true);
            }
            (Kind::Lock, None) => {
                self.locks.remove(&subject);
                self.note_all(at, &own, |_| true);
            }
            // A subscription stays, and a profile goes only when none has it.
            (Kind::Subscription | Kind::Profile, None) => {}
        }
    }

    /// The versions of the subscriptions that the changes made.
    #[must_use]
    pub fn into_versions(self) -> Versions {
        self.versions
    }

    fn note_all(&mut self, at: DateTime<Utc>, own: &[Uuid], concerns: impl Fn(&Row) -> bool) {
        let concerned: Vec<Row> = self
            .subscriptions
            .values()
            .filter(|row| concerns(row))
            .cloned()
            .collect();
        for row in concerned {
            self.note(&row, at, own);
        }
    }

    /// Notes the row as a version, once its profile is known.
    fn note(&mut self, row: &Row, at: DateTime<Utc>, own: &[Uuid]) {
        let profile = match &row.profile {
            None => None,
            Some(name) => match self.profiles.get(name) {
                Some(settings) => Some((name.clone(), Arc::clone(settings))),
                None => return,
            },
        };
        let mut locks: Vec<_> = self
            .locks
            .iter()
            .filter(|(_, (reach, _))| reach.covers(&row.identity.merchant, row.profile.as_deref()))
            .collect();
        locks.sort_by_key(|(name, (reach, _))| (reach.breadth(), *name));
        let layers = Layers {
            locks: locks
                .into_iter()
                .map(|(name, (_, settings))| (name.clone(), Arc::clone(settings)))
                .collect(),
            own: row.settings.clone(),
            profile,
        };
        if let Some(subscription) = resolve_matching(row.identity.clone(), &layers.merged()) {
            self.versions.add(at, own.to_vec(), subscription);
        }
    }
}

impl Row {
    /// Reads a row; none for a form that only hand-run SQL can have given it.
    fn read(row: &Value) -> Option<Self> {
        Some(Self {
            identity: Identity {
                id: text(row, "id")?.parse().ok()?,
                merchant: text(row, "merchant")?,
                name: text(row, "name")?,
                // Versions are looked up by merchant.
                shard: Shard(0),
                revision: row["revision"].as_i64()?,
                created_at: text(row, "created_at")?.parse().ok()?,
                enabled: row["enabled"].as_bool()? && row.get("gone_at").is_none(),
                paused: row["paused"].as_bool()?,
            },
            profile: text(row, "profile"),
            settings: Settings::of_row(row),
        })
    }
}

fn text(row: &Value, key: &str) -> Option<String> {
    row.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::versions::Wanted;
    use super::*;
    use crate::model::samples;

    const ID: Uuid = Uuid::from_u128(0xaa);

    fn change(kind: Kind, subject: &str, at: &str, row: Value) -> SettingsChange {
        SettingsChange {
            kind,
            subject: subject.to_owned(),
            at: samples::time(at),
            row: (!row.is_null()).then_some(row),
            own: vec![],
        }
    }

    fn subscription(at: &str, mut extra: Value) -> SettingsChange {
        let mut row = json!({
            "id": ID.to_string(), "merchant": "acme", "name": "orders", "revision": 1,
            "created_at": "2026-01-01T00:00:00+00:00", "enabled": true, "paused": false,
            "profile": "p",
        });
        if let (Some(row), Some(extra)) = (row.as_object_mut(), extra.as_object_mut()) {
            row.append(extra);
        }
        change(Kind::Subscription, &ID.to_string(), at, row)
    }

    /// What became of the sample's event, of 12:00:00.000001.
    fn wanted(changes: impl IntoIterator<Item = SettingsChange>) -> Option<Wanted> {
        let mut history = History::default();
        for change in changes {
            history.take(change);
        }
        let versions = history.into_versions();
        versions
            .of(&samples::event(), None)
            .next()
            .map(|(_, wanted)| wanted)
    }

    #[test]
    fn profiles_and_locks_have_their_say_over_time() {
        let early = "2026-03-01T10:00:00Z";
        let before = "2026-03-01T11:00:00Z";
        let after = "2026-03-01T13:00:00Z";
        let profile = |at, row| change(Kind::Profile, "p", at, row);
        let lock = |at, row| change(Kind::Lock, "l", at, row);
        let nothing = json!({ "kinds": [] });
        for (what, rest, expected) in [
            ("a profile that wants all", vec![], Some(Wanted::Yes)),
            (
                "a profile that wants nothing any more",
                vec![profile(before, nothing.clone())],
                None,
            ),
            (
                "a profile that changed after the event",
                vec![profile(after, nothing.clone())],
                Some(Wanted::Yes),
            ),
            ("a lock above it", vec![lock(before, nothing.clone())], None),
            (
                "a lock for another merchant",
                vec![lock(before, json!({ "kinds": [], "merchant": "other" }))],
                Some(Wanted::Yes),
            ),
            (
                "a lock that was taken away in time",
                vec![lock(early, nothing), lock(before, Value::Null)],
                Some(Wanted::Yes),
            ),
            (
                "an endpoint that was gone",
                vec![subscription(
                    before,
                    json!({ "gone_at": "2026-03-01T11:00:00Z" }),
                )],
                None,
            ),
        ] {
            let first = [profile(early, json!({})), subscription(early, json!({}))];
            assert_eq!(wanted(first.into_iter().chain(rest)), expected, "{what}");
        }
    }

    #[test]
    fn before_its_profile_is_known_nothing_is() {
        let changes = [
            subscription("2026-03-01T10:00:00Z", json!({})),
            change(Kind::Profile, "p", "2026-03-01T13:00:00Z", json!({})),
        ];
        assert_eq!(wanted(changes), Some(Wanted::Undecided));
    }
}
