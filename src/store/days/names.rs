//! What stands in a statement in the place of a table.

use std::fmt::Write as _;

use chrono::NaiveDate;
use sqlx::postgres::types::Oid;

/// A table that has a partition for each day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// `posthorn.events`
    Events,
    /// `posthorn.deliveries`
    Deliveries,
    /// `posthorn.attempts`
    Attempts,
}

impl Table {
    pub const ALL: [Self; 3] = [Self::Events, Self::Deliveries, Self::Attempts];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Deliveries => "deliveries",
            Self::Attempts => "attempts",
        }
    }

    /// How statements name it whose days are put in its place.
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Events => "posthorn.events /* by day */",
            Self::Deliveries => "posthorn.deliveries /* by day */",
            Self::Attempts => "posthorn.attempts /* by day */",
        }
    }

    /// The columns that statements by day read: in a union, each stands where the others' do.
    const fn columns(self) -> &'static str {
        match self {
            Self::Events => {
                "id, xid, created_at, shard, merchant, kind, transaction_id, status, data"
            }
            Self::Deliveries => "event_id, subscription_id, generation, state",
            Self::Attempts => "event_id, subscription_id, generation, number",
        }
    }

    pub fn day(self, day: NaiveDate) -> String {
        format!("{}_{}", self.name(), day.format("%Y%m%d"))
    }
}

/// The names of the days that a statement is about, in the places of their tables.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<(&'static str, String)>);

impl Names {
    /// No names: the statement goes over the tables.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The names of some partitions of each of these tables.
    pub fn of(tables: impl IntoIterator<Item = (Table, Vec<String>)>) -> Self {
        let named = |(table, names): (Table, Vec<String>)| (table.mark(), union(table, &names));
        Self(tables.into_iter().map(named).collect())
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// A statement's text with the names in their places.
    pub fn put_into(&self, sql: &str) -> String {
        let mut named = sql.to_owned();
        for (mark, names) in &self.0 {
            named = named.replace(mark, names);
        }
        named
    }
}

/// The partitions of the log that a reading names, and what tells whether there are others.
#[derive(Clone, Debug, Default)]
pub struct LogNames {
    pub names: Names,
    /// Partitions in which there was nothing: if there is now, the reading is not whole.
    pub empty: Vec<Oid>,
    /// What `posthorn.days()` says as long as there are no others; none for a reading of the table.
    pub stamp: Option<String>,
}

impl LogNames {
    pub const fn none() -> Self {
        Self {
            names: Names::none(),
            empty: Vec::new(),
            stamp: None,
        }
    }
}

/// One partition, or a sub-query of several, which the planner takes apart again.
fn union(table: Table, names: &[String]) -> String {
    if let [name] = names {
        return format!("posthorn.{name}");
    }
    let mut all = String::from("(");
    for (at, name) in names.iter().enumerate() {
        let between = if at == 0 { "" } else { " UNION ALL " };
        let columns = table.columns();
        // Writing to a string does not fail.
        let _ = write!(all, "{between}SELECT {columns} FROM posthorn.{name}");
    }
    all.push(')');
    all
}
