//! Which days there are, and which of them a statement is about.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::types::Oid;
use uuid::Uuid;

use super::names::{LogNames, Names, Table};
use crate::model::Snapshot;

/// With more days than this a statement goes over the table: its text would be as long as the
/// work that it saves.
const MOST: usize = 8;

/// The days that a pool's database had when it was last asked.
#[derive(Debug, Default)]
pub struct KnownDays(Mutex<Known>);

/// What is known of the days.
#[derive(Debug, Default)]
pub struct Known {
    /// The partitions, once they were asked for.
    pub partitions: Option<Arc<KnownPartitions>>,
    /// What the last window that was read to a known end has rows in.
    pub window: Option<KnownWindow>,
}

/// The days of the pages of a window.
#[derive(Debug)]
pub struct KnownWindow {
    /// The snapshot that it ends with.
    pub until: Snapshot,
    /// Its first transaction.
    pub since: u64,
    /// Where its rows are.
    pub log: LogNames,
}

impl KnownDays {
    /// What is known, to look at or to change.
    pub fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The partitions that this session's role may read.
#[derive(Debug, Default)]
pub struct KnownPartitions {
    /// Those that are called after their day.
    pub days: BTreeSet<(Table, NaiveDate)>,
    /// All of the log, or nothing if one of them may not be read or is not called as they are.
    pub log: Option<Vec<LogPartition>>,
    /// What `posthorn.days()` said in the same snapshot.
    pub stamp: String,
}

/// A partition of the log.
#[derive(Debug)]
pub struct LogPartition {
    pub oid: Oid,
    pub name: String,
    /// Its day; none for the partition that takes what no day takes.
    pub day: Option<NaiveDate>,
    pub is_empty: bool,
}

impl KnownPartitions {
    /// The names for a statement all of whose rows in these tables are of these events. Where the
    /// day of one is not known, or they are of many, there is none, and the statement goes over
    /// the tables.
    pub fn of(&self, tables: &[Table], events: impl IntoIterator<Item = Uuid>) -> Names {
        let mut days = BTreeSet::new();
        for id in events {
            match day_of(id) {
                Some(day) if days.len() < MOST || days.contains(&day) => days.insert(day),
                _ => return Names::none(),
            };
        }
        let is_known = |table: &Table| days.iter().all(|day| self.days.contains(&(*table, *day)));
        if days.is_empty() || !tables.iter().all(is_known) {
            return Names::none();
        }
        Names::of(tables.iter().map(|table| {
            let names = days.iter().map(|day| table.day(*day));
            (*table, names.collect())
        }))
    }

    /// The partitions that may hold rows from this id on are those that have any, or get some
    /// meanwhile: those that have none are looked at.
    pub fn log_from(&self, floor: Uuid) -> LogNames {
        let Some(log) = &self.log else {
            return LogNames::none();
        };
        let first = day_of(floor).filter(|_| !floor.is_nil());
        let (mut empty, mut filled): (Vec<_>, Vec<_>) = log
            .iter()
            .filter(|it| it.day.is_none() || it.day >= first)
            .partition(|it| it.is_empty);
        if filled.is_empty() {
            // Something has to stand there.
            filled.extend(empty.pop());
        }
        self.log_names(filled, empty)
    }

    /// All that is to be read is in these partitions.
    pub fn log_in(&self, names: &[String]) -> LogNames {
        let Some(log) = &self.log else {
            return LogNames::none();
        };
        let mut filled: Vec<_> = log.iter().filter(|it| names.contains(&it.name)).collect();
        if filled.len() < names.len() {
            return LogNames::none();
        }
        if filled.is_empty() {
            filled.extend(log.last());
        }
        self.log_names(filled, Vec::new())
    }

    fn log_names(&self, filled: Vec<&LogPartition>, empty: Vec<&LogPartition>) -> LogNames {
        if filled.is_empty() || filled.len() > MOST {
            return LogNames::none();
        }
        let names = filled.into_iter().map(|it| it.name.clone());
        LogNames {
            names: Names::of([(Table::Events, names.collect())]),
            empty: empty.into_iter().map(|it| it.oid).collect(),
            stamp: Some(self.stamp.clone()),
        }
    }
}

impl LogPartition {
    /// A partition of the log, if it is called as its day, or as what takes no day.
    pub fn named(oid: Oid, name: String, is_empty: bool) -> Option<Self> {
        let day = day_in(Table::Events, &name);
        (day.is_some() || name == format!("{}_default", Table::Events.name())).then_some(Self {
            oid,
            name,
            day,
            is_empty,
        })
    }
}

/// The day of a table that a partition is called after.
pub fn day_in(table: Table, name: &str) -> Option<NaiveDate> {
    let digits = name.strip_prefix(table.name())?.strip_prefix('_')?;
    let day = NaiveDate::parse_from_str(digits, "%Y%m%d").ok()?;
    // Exactly so.
    (table.day(day) == name).then_some(day)
}

/// The day of an event's id, as `posthorn.event_day` has it; none for one that is beyond all days.
fn day_of(id: Uuid) -> Option<NaiveDate> {
    let millis = i64::try_from(id.as_u128() >> 80).ok()?;
    DateTime::<Utc>::from_timestamp_millis(millis).map(|moment| moment.date_naive())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use crate::model::event::first_id_at;

    fn id(day: &str) -> Uuid {
        first_id_at(format!("{day}T12:00:00Z").parse().unwrap())
    }

    fn log(day: &str, is_empty: bool) -> LogPartition {
        LogPartition::named(Oid(1), format!("events{day}"), is_empty).unwrap()
    }

    fn known() -> KnownPartitions {
        let day = |day| day_in(Table::Events, &format!("events{day}")).unwrap();
        KnownPartitions {
            days: BTreeSet::from([
                (Table::Deliveries, day("_20261128")),
                (Table::Deliveries, day("_20261129")),
                (Table::Attempts, day("_20261129")),
            ]),
            log: Some(vec![
                log("_20261128", false),
                log("_20261129", false),
                log("_20261130", true),
                log("_default", true),
            ]),
            stamp: "4.1".to_owned(),
        }
    }

    fn names(tables: &[Table], days: &[&str]) -> String {
        let events = days.iter().map(|day| id(day));
        known().of(tables, events).put_into(
            "posthorn.deliveries /* by day */ d, posthorn.deliveries, posthorn.attempts /* by day */ t",
        )
    }

    #[test]
    fn a_statement_names_the_days_of_its_events() {
        let both = [Table::Deliveries, Table::Attempts];
        assert_eq!(
            names(&both, &["2026-11-29"]),
            "posthorn.deliveries_20261129 d, posthorn.deliveries, posthorn.attempts_20261129 t"
        );
        assert_eq!(
            names(&[Table::Deliveries], &["2026-11-28", "2026-11-29"]),
            "(SELECT event_id, subscription_id, generation, state FROM posthorn.deliveries_20261128 \
             UNION ALL SELECT event_id, subscription_id, generation, state FROM posthorn.deliveries_20261129) d, \
             posthorn.deliveries, posthorn.attempts /* by day */ t"
        );
    }

    #[test]
    fn where_a_day_is_not_known_it_goes_over_the_tables() {
        let both = [Table::Deliveries, Table::Attempts];
        for days in [&["2026-11-28"][..], &["2026-11-29", "2026-12-01"], &[]] {
            let named = names(&both, days);
            assert_eq!(
                named.matches("/* by day */").count(),
                2,
                "{days:?}: {named}"
            );
        }
    }

    #[test]
    fn a_reading_of_the_log_names_what_has_rows_and_looks_at_the_rest() {
        let floor = first_id_at("2026-11-29T00:00:00Z".parse().unwrap());
        let named = known().log_from(floor);
        let sql = named.names.put_into("FROM posthorn.events /* by day */ v");
        assert_eq!(sql, "FROM posthorn.events_20261129 v");
        assert_eq!(named.empty.len(), 2, "tomorrow, and what has no day");
        assert_eq!(named.stamp.as_deref(), Some("4.1"));

        let all = known().log_from(Uuid::nil());
        let sql = all.names.put_into("posthorn.events /* by day */");
        assert_eq!(sql.matches("UNION ALL").count(), 1);
        let beyond = first_id_at("2026-11-30T00:00:00Z".parse().unwrap());
        let named = known().log_from(beyond);
        assert!(!named.names.is_none(), "something stands there");
        assert_eq!(named.empty.len(), 1, "no row yet");
        let strange = KnownPartitions {
            log: None,
            ..known()
        };
        assert!(strange.log_from(floor).stamp.is_none());
    }

    #[test]
    fn a_window_names_what_has_its_rows() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let log = known().log_in(&names);
            assert!(log.empty.is_empty());
            log.names.put_into("posthorn.events /* by day */")
        };
        assert_eq!(named(&["events_20261128"]), "posthorn.events_20261128");
        assert_eq!(
            named(&[]),
            "posthorn.events_default",
            "something stands there"
        );
        // Somebody has made it since.
        assert_eq!(named(&["events_20261201"]), "posthorn.events /* by day */");
    }

    #[test]
    fn a_day_is_that_of_the_id() {
        let day = |name| day_in(Table::Events, name);
        assert_eq!(day_of(id("2026-11-29")), day("events_20261129"));
        for name in [
            "events_2026112",
            "events_20261340",
            "events_default",
            "attempts_20261129",
        ] {
            assert_eq!(day(name), None, "{name}");
        }
        // Ids that tell no time have a day that no partition has, or none.
        let names = known().of(&[Table::Attempts], [Uuid::max()]);
        assert!(names.is_none());
    }
}
