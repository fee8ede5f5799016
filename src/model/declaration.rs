//! What a config file declares, what stands in the tables, and the changes from the one to
//! the other. Pure: the same decisions are shown by `posthorn config plan` and written by
//! `apply`.

use serde_json::{Map, Value};

use super::Settings;

/// A profile, a lock or a subscription, as a file declares it and as a row holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub kind: Kind,
    /// What stands beside the settings, by column; without those that are NULL.
    pub head: Map<String, Value>,
    pub settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Profile,
    Lock,
    Subscription,
}

/// Who may change a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Sql,
    File,
    /// Posthorn itself: a profile that comes with it.
    Builtin,
}

/// A row with its owner.
#[derive(Clone, Debug)]
pub struct Stored {
    pub entry: Entry,
    pub owner: Owner,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Add(Entry),
    Alter(Box<Alteration>),
    /// A subscription that the file no longer has: deliveries name it, so the row stays.
    Disable(Entry),
    Remove(Entry),
}

/// A row becomes what the file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Alteration {
    pub before: Entry,
    pub after: Entry,
    /// Those that differ; none where the row only changes hands.
    pub keys: Vec<&'static str>,
}

/// An entry of the file whose row is not the file's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Conflict {
    #[error(
        "{0} stands in the config file and, managed by SQL, in the database; take it out of the file, \
         or hand the row over: posthorn config apply --take-over, or UPDATE … SET managed_by = 'file'"
    )]
    ManagedBySql(String),
    #[error("{0} comes with Posthorn; give yours another name")]
    Builtin(String),
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Profile, Self::Lock, Self::Subscription];

    /// The section of a file, in double brackets.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Lock => "lock",
            Self::Subscription => "subscription",
        }
    }

    /// The columns that name a row.
    #[must_use]
    pub const fn identity(self) -> &'static [&'static str] {
        match self {
            Self::Profile | Self::Lock => &["name"],
            Self::Subscription => &["merchant", "name"],
        }
    }

    /// The other columns beside the settings that a file gives.
    #[must_use]
    pub const fn others(self) -> &'static [&'static str] {
        match self {
            Self::Profile => &[],
            Self::Lock => &["merchant", "profile"],
            Self::Subscription => &["profile", "enabled", "paused"],
        }
    }
}

impl Owner {
    /// The spelling of the column `managed_by`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "sql" => Self::Sql,
            "file" => Self::File,
            "builtin" => Self::Builtin,
            _ => return None,
        })
    }
}

impl Entry {
    /// The entry of a row, as JSON with a member for each column.
    #[must_use]
    pub fn of_row(kind: Kind, row: &Value) -> Self {
        let columns = kind.identity().iter().chain(kind.others());
        let head = columns.filter_map(|&column| {
            let value = row.get(column).filter(|value| !value.is_null())?;
            Some((column.to_owned(), value.clone()))
        });
        Self {
            kind,
            head: head.collect(),
            settings: Settings::of_row(row),
        }
    }

    /// The row of the entry for `posthorn.declare`.
    #[must_use]
    pub fn to_row(&self) -> Map<String, Value> {
        let mut row = self.settings.to_row();
        row.extend(self.head.clone());
        row
    }

    /// `subscription acme/orders`.
    #[must_use]
    pub fn name(&self) -> String {
        let names: Vec<_> = self.identity().into_iter().flatten().collect();
        format!("{} {}", self.kind.section(), names.join("/"))
    }

    fn identity(&self) -> Vec<Option<&str>> {
        let columns = self.kind.identity().iter();
        columns.map(|&column| self.text(column)).collect()
    }

    fn text(&self, column: &str) -> Option<&str> {
        self.head.get(column).and_then(Value::as_str)
    }

    fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.identity() == other.identity()
    }

    fn is_enabled(&self) -> bool {
        self.head.get("enabled") != Some(&Value::Bool(false))
    }

    /// The keys in which the two differ.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let others = self.kind.others().iter().copied();
        let head = others.filter(|&key| self.head.get(key) != other.head.get(key));
        head.chain(self.settings.differences(&other.settings))
            .collect()
    }
}

/// What is to be done for the stored rows to be as declared, in an order that keeps
/// references whole, or all that stands against it. `take_over`: rows that people manage by
/// SQL become the file's.
pub fn changes(
    declared: &[Entry],
    stored: &[Stored],
    take_over: bool,
) -> Result<Vec<Change>, Vec<Conflict>> {
    let mut changes = Vec::new();
    let mut conflicts = Vec::new();
    for entry in declared {
        let Some(row) = stored.iter().find(|row| row.entry.is(entry)) else {
            changes.push(Change::Add(entry.clone()));
            continue;
        };
        match row.owner {
            Owner::Builtin => conflicts.push(Conflict::Builtin(entry.name())),
            Owner::Sql if !take_over => conflicts.push(Conflict::ManagedBySql(entry.name())),
            owner => {
                let keys = row.entry.differences(entry);
                if !keys.is_empty() || owner == Owner::Sql {
                    changes.push(Change::Alter(Box::new(Alteration {
                        before: row.entry.clone(),
                        after: entry.clone(),
                        keys,
                    })));
                }
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let gone = |row: &&Stored| {
        row.owner == Owner::File && !declared.iter().any(|entry| entry.is(&row.entry))
    };
    changes.extend(stored.iter().filter(gone).filter_map(|row| {
        let entry = &row.entry;
        match entry.kind {
            Kind::Subscription => entry.is_enabled().then(|| Change::Disable(entry.clone())),
            Kind::Lock => Some(Change::Remove(entry.clone())),
            // Disabled subscriptions name their profile too, and stay.
            Kind::Profile => {
                let name = entry.text("name");
                let named = declared
                    .iter()
                    .chain(stored.iter().map(|row| &row.entry))
                    .any(|other| other.kind == Kind::Subscription && other.text("profile") == name);
                (!named).then(|| Change::Remove(entry.clone()))
            }
        }
    }));
    changes.sort_by_key(|change| match change {
        Change::Add(entry) => (0, entry.kind),
        Change::Alter(alteration) => (0, alteration.after.kind),
        Change::Disable(entry) => (1, entry.kind),
        Change::Remove(entry) => (2, entry.kind),
    });
    Ok(changes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

    use serde_json::json;

    use super::*;

    fn entry(kind: Kind, row: &Value) -> Entry {
        Entry::of_row(kind, row)
    }

    fn stored(kind: Kind, row: &Value, owner: Owner) -> Stored {
        Stored {
            entry: entry(kind, row),
            owner,
        }
    }

    fn hook(more: &[(&str, Value)]) -> Value {
        let mut row = json!({"merchant": "acme", "name": "hook", "enabled": true, "paused": false});
        for (key, value) in more {
            row[key] = value.clone();
        }
        row
    }

    #[test]
    fn what_is_as_declared_is_left_alone() {
        let row = hook(&[("url", json!("https://h/")), ("timeout", json!("PT20S"))]);
        let stored = [stored(Kind::Subscription, &row, Owner::File)];
        assert_eq!(
            changes(&[entry(Kind::Subscription, &row)], &stored, false).unwrap(),
            []
        );
    }

    #[test]
    fn changes_name_the_keys_that_differ() {
        let before = hook(&[("timeout", json!("PT20S")), ("kinds", json!(["a"]))]);
        let after = hook(&[
            ("timeout", json!("PT5S")),
            ("kinds", json!(["a"])),
            ("paused", json!(true)),
        ]);
        let stored = [stored(Kind::Subscription, &before, Owner::File)];
        let found = changes(&[entry(Kind::Subscription, &after)], &stored, false).unwrap();
        let [Change::Alter(alteration)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(alteration.keys, ["paused", "timeout"]);
    }

    #[test]
    fn what_the_file_no_longer_has_is_disabled_or_removed_and_what_is_named_stays() {
        let stored = [
            stored(Kind::Profile, &json!({"name": "used"}), Owner::File),
            stored(Kind::Profile, &json!({"name": "unused"}), Owner::File),
            stored(Kind::Profile, &json!({"name": "by-hand"}), Owner::Sql),
            stored(Kind::Profile, &json!({"name": "idpay"}), Owner::Builtin),
            stored(Kind::Lock, &json!({"name": "cap"}), Owner::File),
            stored(
                Kind::Subscription,
                &hook(&[("profile", json!("used"))]),
                Owner::File,
            ),
        ];
        let found = changes(&[], &stored, false).unwrap();
        let expected = [
            Change::Disable(stored[5].entry.clone()),
            Change::Remove(stored[1].entry.clone()),
            Change::Remove(stored[4].entry.clone()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn profiles_and_locks_come_before_the_subscriptions_that_name_them() {
        let declared = [
            entry(Kind::Subscription, &hook(&[("profile", json!("p"))])),
            entry(Kind::Profile, &json!({"name": "p"})),
        ];
        let found = changes(&declared, &[], false).unwrap();
        assert_eq!(found[0], Change::Add(declared[1].clone()));
    }

    #[test]
    fn rows_of_others_are_conflicts_until_they_are_taken_over() {
        let row = hook(&[]);
        let by_hand = [stored(Kind::Subscription, &row, Owner::Sql)];
        let declared = [entry(Kind::Subscription, &row)];
        let conflicts = changes(&declared, &by_hand, false).unwrap_err();
        assert_eq!(
            conflicts,
            [Conflict::ManagedBySql("subscription acme/hook".to_owned())]
        );
        assert_eq!(changes(&declared, &by_hand, true).unwrap().len(), 1);

        let idpay = json!({"name": "idpay"});
        let builtin = [stored(Kind::Profile, &idpay, Owner::Builtin)];
        let conflicts = changes(&[entry(Kind::Profile, &idpay)], &builtin, true).unwrap_err();
        assert_eq!(conflicts, [Conflict::Builtin("profile idpay".to_owned())]);
    }

    #[test]
    fn merchants_and_names_with_slashes_are_not_mixed_up() {
        let one = entry(Kind::Subscription, &json!({"merchant": "a/b", "name": "c"}));
        let other = entry(Kind::Subscription, &json!({"merchant": "a", "name": "b/c"}));
        assert!(!one.is(&other));
    }
}
