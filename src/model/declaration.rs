//! What a config file declares, and what stands in the tables.

mod changes;

use serde_json::{Map, Value};

pub use self::changes::{Alteration, Conflict, Plan, PlannedChange, plan};
use super::{OneLine, Settings};

/// What a config file declares: its entries, and in whose name.
#[derive(Clone, Debug, Default)]
pub struct Declaration {
    /// The owner in whose name the file speaks. Without one it owns nothing beyond what it names.
    pub owner: Option<String>,
    /// The profiles, locks and subscriptions of the file.
    pub entries: Vec<Entry>,
}

/// A profile, a lock or a subscription, as a file declares it and as a row holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whether it is a profile, a lock or a subscription.
    pub kind: Kind,
    /// What stands beside the settings, such as the name, by column; without columns that are NULL.
    pub head: Map<String, Value>,
    /// The settings that are given, and no defaults.
    pub settings: Settings,
}

/// The kinds of entries, in the order in which they refer to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A named set of defaults for subscriptions.
    Profile,
    /// Settings that the operator fixes for several subscriptions.
    Lock,
    /// One endpoint of one merchant.
    Subscription,
}

/// Who may change a row of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// People, by SQL.
    Sql,
    /// A config file; with the owner that the file names, if it names one.
    File(Option<String>),
    /// Posthorn itself: a profile that comes with it.
    Builtin,
}

/// A row of the configuration, with its owner.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What the row says.
    pub entry: Entry,
    /// Who may change the row.
    pub owner: Owner,
}

impl Kind {
    /// Every kind, in the order in which they refer to each other.
    pub const ALL: [Self; 3] = [Self::Profile, Self::Lock, Self::Subscription];

    /// The name of the section in a config file that declares entries of this kind.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Lock => "lock",
            Self::Subscription => "subscription",
        }
    }

    /// The columns that name a row of this kind.
    #[must_use]
    pub const fn identity(self) -> &'static [&'static str] {
        match self {
            Self::Profile | Self::Lock => &["name"],
            Self::Subscription => &["merchant", "name"],
        }
    }

    /// The columns beside the settings and the name that a file gives.
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
    /// The owner in the spelling of the column `managed_by`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "sql" => Self::Sql,
            "file" => Self::File(None),
            "builtin" => Self::Builtin,
            _ => Self::File(Some(text.strip_prefix("file:")?.to_owned())),
        })
    }

    /// The owner that a row's column `managed_by` and its file name.
    #[must_use]
    pub fn spelled(&self) -> String {
        match self {
            Self::Sql => "sql".to_owned(),
            Self::File(None) => "file".to_owned(),
            Self::File(Some(name)) => format!("file:{name}"),
            Self::Builtin => "builtin".to_owned(),
        }
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

    /// The entry's kind and name, such as `subscription acme/orders`, on one line whatever they
    /// hold.
    #[must_use]
    pub fn name(&self) -> String {
        let names: Vec<_> = self.identity().into_iter().flatten().collect();
        format!("{} {}", self.kind.section(), OneLine(&names.join("/")))
    }

    /// The keys that the entry gives beside its name, in the order of the documentation.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        let others = self.kind.others().iter().copied();
        let head = others.filter(|&key| self.head.contains_key(key));
        let settings = Settings::KEYS.iter().copied();
        head.chain(settings.filter(|key| self.settings.has(key)))
            .collect()
    }

    /// The value of a key in the spelling of the config file.
    #[must_use]
    pub fn to_toml(&self, key: &str) -> Option<toml::Value> {
        match self.head.get(key) {
            Some(Value::String(text)) => Some(text.clone().into()),
            Some(Value::Bool(flag)) => Some((*flag).into()),
            Some(_) => None,
            None => self.settings.to_toml(key),
        }
    }

    fn identity(&self) -> Vec<Option<&str>> {
        let columns = self.kind.identity().iter();
        columns.map(|&column| self.text(column)).collect()
    }

    fn text(&self, column: &str) -> Option<&str> {
        self.head.get(column).and_then(Value::as_str)
    }

    /// What no two rows have in common: the kind, and the columns that name a row of it.
    fn key(&self) -> (Kind, Vec<Option<&str>>) {
        (self.kind, self.identity())
    }

    fn is_enabled(&self) -> bool {
        self.head.get("enabled") != Some(&Value::Bool(false))
    }

    /// The keys in which the two entries differ.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let others = self.kind.others().iter().copied();
        let head = others.filter(|&key| self.head.get(key) != other.head.get(key));
        head.chain(self.settings.differences(&other.settings))
            .collect()
    }
}

/// Names for a message or a line of a log, which would be too long with all of many.
#[must_use]
pub fn listed(names: &[String]) -> String {
    let shown = names.get(..MOST_LISTED).unwrap_or(names).join(", ");
    match names.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

const MOST_LISTED: usize = 20;
