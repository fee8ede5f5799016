//! The daily partitions by their names. A statement over a partitioned table opens and locks
//! every day that there is each time it runs, although all its rows are of one or two of them
//! (docs/decisions/0065-days-by-their-names.md). So a statement that runs often names the table
//! with a mark behind it, as `posthorn.events /* by day */`, and is sent with the names of the
//! days that its rows are of in that place. It is checked as it is written, and so it runs where
//! the days are not known: over the table.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Describe, Either, Execute, Executor, Postgres, SqlSafeStr, SqlStr};
use uuid::Uuid;

use super::{Pool, StoreError};
use crate::model::Snapshot;

/// With more days than this a statement goes over the table: its text would be as long as the
/// work that it saves.
const MOST: usize = 8;

/// A table that has a partition for each day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// `posthorn.events`
    Events,
    /// `posthorn.deliveries`
    Deliveries,
    /// `posthorn.attempts`
    Attempts,
}

impl Table {
    const ALL: [Self; 3] = [Self::Events, Self::Deliveries, Self::Attempts];

    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Deliveries => "deliveries",
            Self::Attempts => "attempts",
        }
    }

    /// How statements name it whose days are put in its place.
    const fn mark(self) -> &'static str {
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

    fn day(self, day: NaiveDate) -> String {
        format!("{}_{}", self.name(), day.format("%Y%m%d"))
    }
}

/// The days that a pool's database had when it was last asked.
#[derive(Debug, Default)]
pub(super) struct KnownDays(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    partitions: Option<Arc<KnownPartitions>>,
    /// What the last window that was read to a known end has rows in.
    window: Option<KnownWindow>,
}

/// The days of the pages of a window.
#[derive(Debug)]
struct KnownWindow {
    until: Snapshot,
    since: u64,
    log: LogNames,
}

impl KnownDays {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the log: from its least id on, and where it is known, of which transactions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    /// No row below this id is of it.
    pub(super) floor: Uuid,
    /// The snapshot in which all its rows are visible, and their first transaction.
    pub(super) window: Option<(&'a Snapshot, u64)>,
}

/// The partitions that this session's role may read.
#[derive(Debug, Default)]
struct KnownPartitions {
    /// Those that are called after their day.
    days: BTreeSet<(Table, NaiveDate)>,
    /// All of the log, or nothing if one of them may not be read or is not called as they are.
    log: Option<Vec<LogPartition>>,
    /// What `posthorn.days()` said in the same snapshot.
    stamp: String,
}

/// A partition of the log.
#[derive(Debug)]
struct LogPartition {
    oid: Oid,
    name: String,
    /// Its day; none for the partition that takes what no day takes.
    day: Option<NaiveDate>,
    is_empty: bool,
}

impl Pool {
    async fn partitions(&self) -> Result<Arc<KnownPartitions>, StoreError> {
        if let Some(known) = self.days().lock().partitions.clone() {
            return Ok(known);
        }
        let known = Arc::new(load(self).await?);
        self.days().lock().partitions = Some(Arc::clone(&known));
        Ok(known)
    }

    /// The names for a reading of a stretch of the log.
    async fn log_of(&self, stretch: Stretch<'_>) -> Result<LogNames, StoreError> {
        let known = self.partitions().await?;
        let from_floor = known.log_from(stretch.floor);
        match stretch.window {
            Some((until, since)) if from_floor.names.is_none() => {
                self.log_of_window(&known, until, since).await
            }
            _ => Ok(from_floor),
        }
    }

    /// Each page of a window is of the transactions of the first one, or later ones.
    async fn log_of_window(
        &self,
        known: &KnownPartitions,
        until: &Snapshot,
        since: u64,
    ) -> Result<LogNames, StoreError> {
        if let Some(window) = &self.days().lock().window
            && window.until == *until
            && window.since <= since
        {
            return Ok(window.log.clone());
        }
        let names = sqlx::query_scalar!(
            r#"SELECT posthorn.days_since($1::text::xid8) AS "name!""#,
            since.to_string()
        )
        .fetch_all(self)
        .await?;
        let log = known.log_in(&names);
        self.days().lock().window = Some(KnownWindow {
            until: until.clone(),
            since,
            log: log.clone(),
        });
        Ok(log)
    }

    /// The names for a statement all of whose rows in these tables are of these events. Where the
    /// day of one is not known, there is none, and the statement goes over the tables.
    pub(super) async fn days_of(
        &self,
        tables: &[Table],
        events: impl IntoIterator<Item = Uuid>,
    ) -> Result<Names, StoreError> {
        let mut days = BTreeSet::new();
        for id in events {
            match day_of(id) {
                Some(day) if days.len() < MOST || days.contains(&day) => days.insert(day),
                _ => return Ok(Names::none()),
            };
        }
        let known = self.partitions().await?;
        Ok(known.of(tables, &days))
    }

    /// Does what concerns only these events, in their days; over the tables if one of those is gone.
    pub(super) async fn in_days_of<T, F>(
        &self,
        tables: &[Table],
        events: impl IntoIterator<Item = Uuid>,
        run: impl Fn(Names) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let days = self.days_of(tables, events).await?;
        let are_named = !days.is_none();
        match run(days).await {
            Err(error) if are_named && error.is_of_a_missing_table() => {
                self.forget_days();
                run(Names::none()).await
            }
            done => done,
        }
    }

    /// Reads a stretch of the log in its days; over the table where they do not stay what they
    /// are. What is read by name answers none if there is more of the log than its days.
    pub(super) async fn read_by_day<T, F>(
        &self,
        stretch: Stretch<'_>,
        read: impl Fn(LogNames) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<Option<T>, StoreError>>,
    {
        // Twice by name: the days that are known may be those of a while ago.
        for _ in 0..2 {
            let log = self.log_of(stretch).await?;
            match read(log).await {
                Err(error) if error.is_of_a_missing_table() => {}
                Err(error) => return Err(error),
                Ok(Some(page)) => return Ok(page),
                Ok(None) => {}
            }
            self.forget_days();
        }
        let page = read(LogNames::none()).await?;
        page.ok_or(StoreError::Unreadable("a page"))
    }

    /// Asks anew for the days the next time: one that was known is gone, or there is another.
    pub(super) fn forget_days(&self) {
        *self.days().lock() = Known::default();
    }
}

async fn load(pool: &Pool) -> Result<KnownPartitions, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT c.oid AS "oid!", p.relname::text AS "table!", c.relname::text AS "name!",
               has_table_privilege(c.oid, 'SELECT') AND c.relnamespace = p.relnamespace AS "is_readable!",
               pg_relation_size(c.oid) = 0 AS "is_empty!", posthorn.days() AS "stamp!"
          FROM pg_inherits i
          JOIN pg_class p ON p.oid = i.inhparent
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent IN ('posthorn.events'::regclass, 'posthorn.deliveries'::regclass,
                               'posthorn.attempts'::regclass)
         ORDER BY c.relname
        "#
    )
    .fetch_all(pool)
    .await?;
    let mut known = KnownPartitions::default();
    let mut log = Some(Vec::new());
    for row in rows {
        let Some(table) = Table::ALL.into_iter().find(|it| it.name() == row.table) else {
            continue;
        };
        let day = row.name.strip_prefix(table.name()).and_then(read_day);
        let is_named = day.is_some() || row.name == format!("{}_default", table.name());
        if let Some(day) = day.filter(|_| row.is_readable) {
            known.days.insert((table, day));
        }
        if table == Table::Events {
            known.stamp = row.stamp;
            let partition = LogPartition {
                oid: row.oid,
                name: row.name,
                day,
                is_empty: row.is_empty,
            };
            match &mut log {
                Some(log) if is_named && row.is_readable => log.push(partition),
                _ => log = None,
            }
        }
    }
    known.log = log;
    Ok(known)
}

impl KnownPartitions {
    fn of(&self, tables: &[Table], days: &BTreeSet<NaiveDate>) -> Names {
        let is_known = |table: &Table| days.iter().all(|day| self.days.contains(&(*table, *day)));
        if days.is_empty() || !tables.iter().all(is_known) {
            return Names::none();
        }
        let names = |table: &Table| {
            let names = days.iter().map(|day| table.day(*day));
            (table.mark(), union(*table, names))
        };
        Names(tables.iter().map(names).collect())
    }

    /// Its partitions that may hold rows from this id on are those that have any, or get some
    /// meanwhile: those that have none are looked at.
    fn log_from(&self, floor: Uuid) -> LogNames {
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
    fn log_in(&self, names: &[String]) -> LogNames {
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
            names: Names(vec![(Table::Events.mark(), union(Table::Events, names))]),
            empty: empty.into_iter().map(|it| it.oid).collect(),
            stamp: Some(self.stamp.clone()),
        }
    }
}

/// The names of the days that a statement is about, in the places of their tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<(&'static str, String)>);

impl Names {
    /// No names: the statement goes over the tables.
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// By whom a statement is asked, with the names in their places.
    pub(super) fn by<X>(&self, executor: X) -> ByName<'_, X> {
        ByName {
            executor,
            names: self,
        }
    }

    fn put_into(&self, sql: &str) -> String {
        let mut named = sql.to_owned();
        for (mark, names) in &self.0 {
            named = named.replace(mark, names);
        }
        named
    }
}

/// The partitions of the log that a reading names, and what tells whether there are others.
#[derive(Clone, Debug, Default)]
pub(super) struct LogNames {
    pub(super) names: Names,
    /// Partitions in which there was nothing: if there is now, the reading is not whole.
    pub(super) empty: Vec<Oid>,
    /// What `posthorn.days()` says as long as there are no others; none for a reading of the table.
    pub(super) stamp: Option<String>,
}

impl LogNames {
    pub(super) const fn none() -> Self {
        Self {
            names: Names::none(),
            empty: Vec::new(),
            stamp: None,
        }
    }
}

/// One partition, or a sub-query of several, which the planner takes apart again.
fn union(table: Table, names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if let [name] = &names[..] {
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

/// `_20261129` as a day.
fn read_day(text: &str) -> Option<NaiveDate> {
    let digits = text.strip_prefix('_').filter(|it| it.len() == 8)?;
    NaiveDate::parse_from_str(digits, "%Y%m%d").ok()
}

/// The day of an event's id, as `posthorn.event_day` has it; none for one that is beyond all days.
fn day_of(id: Uuid) -> Option<NaiveDate> {
    let millis = i64::try_from(id.as_u128() >> 80).ok()?;
    DateTime::<Utc>::from_timestamp_millis(millis).map(|moment| moment.date_naive())
}

/// An executor that is told a statement's days.
#[derive(Debug)]
pub(super) struct ByName<'n, X> {
    executor: X,
    names: &'n Names,
}

impl<'x, X> Executor<'x> for ByName<'x, X>
where
    X: Executor<'x, Database = Postgres> + 'x,
{
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'x: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.executor.fetch_many(Named::new(query, self.names))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'x: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.executor.fetch_optional(Named::new(query, self.names))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'x: 'e,
    {
        self.executor.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'x: 'e,
    {
        self.executor.describe(sql)
    }
}

/// A statement with the names of its days.
struct Named<E> {
    statement: E,
    names: Names,
}

impl<E> Named<E> {
    fn new(statement: E, names: &Names) -> Self {
        let names = names.clone();
        Self { statement, names }
    }
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Named<E> {
    fn sql(self) -> SqlStr {
        let sql = self.statement.sql();
        if self.names.is_none() {
            return sql;
        }
        // Safe: the names are those of partitions, made of a table's name and a day's digits.
        AssertSqlSafe(self.names.put_into(sql.as_str())).into_sql_str()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.statement.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.statement.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.statement.persistent()
    }
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
        LogPartition {
            oid: Oid(day.len().try_into().unwrap()),
            name: format!("events{day}"),
            day: read_day(day),
            is_empty,
        }
    }

    fn known() -> KnownPartitions {
        let day = |day| read_day(day).unwrap();
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
        let days: BTreeSet<NaiveDate> = days.iter().filter_map(|day| day_of(id(day))).collect();
        known().of(tables, &days).put_into(
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
        assert_eq!(
            (named.names.0.len(), named.empty.len()),
            (1, 1),
            "no row yet"
        );
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
            let named = known().log_in(&names);
            assert!(named.empty.is_empty());
            named.names.put_into("posthorn.events /* by day */")
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
        assert_eq!(day_of(id("2026-11-29")), read_day("_20261129"));
        assert_eq!(read_day("_2026112"), None);
        assert_eq!(read_day("_20261340"), None);
        assert_eq!(read_day("_default"), None);
        // Ids that tell no time have a day that no partition has, or none.
        assert!(day_of(Uuid::max()).is_none_or(|day| day > read_day("_99991231").unwrap()));
    }
}
