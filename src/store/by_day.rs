//! Statements that are asked by day: which days are known, and what is done where they are not
//! what they were.

use std::sync::Arc;

use uuid::Uuid;

use super::days::{
    Known, KnownPartitions, KnownWindow, LogNames, LogPartition, Names, Table, day_in,
};
use super::{Pool, StoreError};
use crate::model::Snapshot;

/// A part of the log: from its least id on, and where it is known, of which transactions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    /// No row below this id is of it.
    pub(super) floor: Uuid,
    /// The snapshot in which all its rows are visible, and their first transaction.
    pub(super) window: Option<(&'a Snapshot, u64)>,
}

impl Pool {
    async fn partitions(&self) -> Result<Arc<KnownPartitions>, StoreError> {
        if let Some(known) = self.days().lock().partitions.clone() {
            return Ok(known);
        }
        let known = match load(self).await {
            // Somebody's role that has rights of somebody's making goes over the tables.
            Err(error) if error.is_forbidden() => KnownPartitions::default(),
            known => known?,
        };
        let known = Arc::new(known);
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

    /// The names for a statement all of whose rows in these tables are of these events.
    pub(super) async fn days_of(
        &self,
        tables: &[Table],
        events: impl IntoIterator<Item = Uuid>,
    ) -> Result<Names, StoreError> {
        Ok(self.partitions().await?.of(tables, events))
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
               pg_relation_size(c.oid) = 0 AS "is_empty!", (SELECT posthorn.days()) AS "stamp!"
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
        if let Some(day) = day_in(table, &row.name).filter(|_| row.is_readable) {
            known.days.insert((table, day));
        }
        if table == Table::Events {
            known.stamp = row.stamp;
            let partition = LogPartition::named(row.oid, row.name, row.is_empty);
            match (&mut log, partition.filter(|_| row.is_readable)) {
                (Some(log), Some(partition)) => log.push(partition),
                _ => log = None,
            }
        }
    }
    known.log = log;
    Ok(known)
}
