//! The changes from what stands in the tables to what a file declares. Pure: the same
//! decisions are shown by `posthorn config plan` and written by `apply`.

use std::collections::{HashMap, HashSet};

use super::{Declaration, Entry, Kind, Owner, Stored};

/// What applying a file would do to the rows that are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The changes of rows, in an order that keeps references whole.
    pub changes: Vec<PlannedChange>,
    /// Subscriptions that some file had and this one has not, and of which nobody can know
    /// whose they are, because that file named no owner. They stay as they are.
    pub unclaimed: Vec<String>,
}

/// One change of a row, so that it becomes what the file says.
#[derive(Clone, Debug, PartialEq)]
pub enum PlannedChange {
    /// A row is added.
    Add(Entry),
    /// A row gets other values, or another owner.
    Alter(Box<Alteration>),
    /// A subscription that the file no longer has is disabled: deliveries name it, so the row
    /// stays.
    Disable(Entry),
    /// A profile or lock that the file no longer has is removed.
    Remove(Entry),
}

/// A row before a change, and after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Alteration {
    /// What the row says now.
    pub before: Entry,
    /// What it is to say.
    pub after: Entry,
    /// The keys that differ; none where the row only changes hands.
    pub keys: Vec<&'static str>,
}

/// Why a row that the file names cannot be the file's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Conflict {
    /// The row, which is named here, is managed by SQL.
    #[error(
        "{0} stands in the config file and, managed by SQL, in the database; take it out of the file, \
         or hand the row over: posthorn config apply --take-over, or UPDATE … SET managed_by = 'file'"
    )]
    ManagedBySql(String),
    /// The row, which is named first, belongs to another file, whose owner is named then.
    #[error(
        "{0} belongs to the config file of the owner {1}; take it out of one of the files, or hand it \
         over to this one: posthorn config apply --take-over"
    )]
    AnotherFile(String, String),
    /// The row, which is named here, is a profile that comes with Posthorn.
    #[error("{0} comes with Posthorn; give yours another name")]
    Builtin(String),
}

impl Plan {
    /// The names of the rows that would be disabled or removed because the file no longer has them.
    /// Profiles are removed only where no subscription has them, and are not among these.
    #[must_use]
    pub fn gone(&self) -> Vec<String> {
        let gone = self.changes.iter().filter_map(|change| match change {
            PlannedChange::Disable(entry) => Some(entry),
            PlannedChange::Remove(entry) if entry.kind == Kind::Lock => Some(entry),
            _ => None,
        });
        gone.map(Entry::name).collect()
    }
}

/// Plans what is to be done for the stored rows to be as declared, or tells all that stands against
/// it. `take_over`: rows that people manage by SQL, or other files, become this file's.
pub fn plan(
    declaration: &Declaration,
    stored: &[Stored],
    take_over: bool,
) -> Result<Plan, Vec<Conflict>> {
    let owner = Owner::File(declaration.owner.clone());
    let rows: HashMap<_, &Stored> = stored.iter().map(|row| (row.entry.key(), row)).collect();
    let mut changes = Vec::new();
    let mut conflicts = Vec::new();
    for entry in &declaration.entries {
        let Some(row) = rows.get(&entry.key()) else {
            changes.push(PlannedChange::Add(entry.clone()));
            continue;
        };
        if let Some(conflict) = conflict(entry, &row.owner, &owner, take_over) {
            conflicts.push(conflict);
            continue;
        }
        let keys = row.entry.differences(entry);
        if !keys.is_empty() || row.owner != owner {
            changes.push(PlannedChange::Alter(Box::new(Alteration {
                before: row.entry.clone(),
                after: entry.clone(),
                keys,
            })));
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let declared: HashSet<_> = declaration.entries.iter().map(Entry::key).collect();
    let (mut unclaimed, gone): (Vec<_>, Vec<_>) = stored
        .iter()
        .filter(|row| !declared.contains(&row.entry.key()))
        .partition(|row| row.owner == Owner::File(None));
    if declaration.owner.is_some() {
        let gone = gone.iter().filter(|row| row.owner == owner);
        changes.extend(without(gone.copied(), declaration, stored));
    }
    unclaimed.retain(|row| row.entry.kind == Kind::Subscription && row.entry.is_enabled());
    changes.sort_by_key(|change| match change {
        PlannedChange::Add(entry) => (0, entry.kind),
        PlannedChange::Alter(alteration) => (0, alteration.after.kind),
        PlannedChange::Disable(entry) => (1, entry.kind),
        PlannedChange::Remove(entry) => (2, entry.kind),
    });
    Ok(Plan {
        changes,
        unclaimed: unclaimed.iter().map(|row| row.entry.name()).collect(),
    })
}

/// Why the file may not have a row that it names, if so. A row that a file without an owner has
/// made is anyone's who names it.
fn conflict(entry: &Entry, of_row: &Owner, of_file: &Owner, take_over: bool) -> Option<Conflict> {
    match of_row {
        Owner::Builtin => Some(Conflict::Builtin(entry.name())),
        Owner::Sql if !take_over => Some(Conflict::ManagedBySql(entry.name())),
        Owner::File(Some(other)) if of_row != of_file && !take_over => {
            Some(Conflict::AnotherFile(entry.name(), other.clone()))
        }
        _ => None,
    }
}

/// The changes of the file's own rows that it no longer has.
fn without<'a>(
    gone: impl Iterator<Item = &'a Stored>,
    declaration: &Declaration,
    stored: &[Stored],
) -> Vec<PlannedChange> {
    let entries = declaration.entries.iter();
    // Disabled subscriptions name their profile too, and stay.
    let named: HashSet<_> = entries
        .chain(stored.iter().map(|row| &row.entry))
        .filter(|entry| entry.kind == Kind::Subscription)
        .filter_map(|entry| entry.text("profile"))
        .collect();
    let changes = gone.filter_map(|row| {
        let entry = &row.entry;
        match entry.kind {
            Kind::Subscription => entry
                .is_enabled()
                .then(|| PlannedChange::Disable(entry.clone())),
            Kind::Lock => Some(PlannedChange::Remove(entry.clone())),
            Kind::Profile => {
                let is_named = entry.text("name").is_some_and(|name| named.contains(name));
                (!is_named).then(|| PlannedChange::Remove(entry.clone()))
            }
        }
    });
    changes.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn changes(
        declared: &[Entry],
        stored: &[Stored],
        take_over: bool,
    ) -> Result<Vec<PlannedChange>, Vec<Conflict>> {
        let declaration = Declaration {
            owner: Some("ours".to_owned()),
            entries: declared.to_vec(),
        };
        plan(&declaration, stored, take_over).map(|plan| plan.changes)
    }

    fn ours() -> Owner {
        Owner::File(Some("ours".to_owned()))
    }

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
        let stored = [stored(Kind::Subscription, &row, ours())];
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
        let stored = [stored(Kind::Subscription, &before, ours())];
        let found = changes(&[entry(Kind::Subscription, &after)], &stored, false).unwrap();
        let [PlannedChange::Alter(alteration)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(alteration.keys, ["paused", "timeout"]);
    }

    #[test]
    fn what_the_file_no_longer_has_is_disabled_or_removed_and_what_is_named_stays() {
        let stored = [
            stored(Kind::Profile, &json!({"name": "used"}), ours()),
            stored(Kind::Profile, &json!({"name": "unused"}), ours()),
            stored(Kind::Profile, &json!({"name": "by-hand"}), Owner::Sql),
            stored(Kind::Profile, &json!({"name": "idpay"}), Owner::Builtin),
            stored(Kind::Lock, &json!({"name": "cap"}), ours()),
            stored(
                Kind::Subscription,
                &hook(&[("profile", json!("used"))]),
                ours(),
            ),
        ];
        let found = changes(&[], &stored, false).unwrap();
        let expected = [
            PlannedChange::Disable(stored[5].entry.clone()),
            PlannedChange::Remove(stored[1].entry.clone()),
            PlannedChange::Remove(stored[4].entry.clone()),
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
        assert_eq!(found[0], PlannedChange::Add(declared[1].clone()));
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
        assert_ne!(one.key(), other.key());
    }

    #[test]
    fn rows_of_another_file_are_left_alone_and_conflicts_where_they_are_named() {
        let theirs = || Owner::File(Some("theirs".to_owned()));
        let row = hook(&[]);
        let by_them = [stored(Kind::Subscription, &row, theirs())];
        assert_eq!(changes(&[], &by_them, false).unwrap(), []);
        let declared = [entry(Kind::Subscription, &row)];
        let conflicts = changes(&declared, &by_them, false).unwrap_err();
        let name = "subscription acme/hook".to_owned();
        assert_eq!(
            conflicts,
            [Conflict::AnotherFile(name, "theirs".to_owned())]
        );
        assert_eq!(changes(&declared, &by_them, true).unwrap().len(), 1);
    }

    #[test]
    fn a_file_without_an_owner_ends_nothing_and_what_it_made_is_claimed_by_naming_it() {
        let row = hook(&[]);
        let unclaimed = [stored(Kind::Subscription, &row, Owner::File(None))];
        let nobody = Declaration::default();
        let found = plan(&nobody, &unclaimed, false).unwrap();
        assert_eq!(found.changes, []);
        assert_eq!(found.unclaimed, ["subscription acme/hook"]);
        assert_eq!(changes(&[], &unclaimed, false).unwrap(), []);
        let declared = [entry(Kind::Subscription, &row)];
        assert_eq!(changes(&declared, &unclaimed, false).unwrap().len(), 1);
    }
}
