//! A session on loan, and whether it may go back to the others.
//!
//! It goes back if what was asked of it has been answered, and it may be asked again. The
//! driver's own pool takes every session back and asks it for a sign of life, for as long as
//! TCP waits: with a host that is silent, a quarter of an hour.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use sqlx::postgres::{PgConnection, PgDatabaseError, PgRow, PgSeverity, PgStatement, PgTypeInfo};
use sqlx::{Describe, Execute, Executor, Postgres, SqlStr};
use tokio::sync::OwnedSemaphorePermit;

use super::shelf::{Live, Shelf};
use super::{Reply, Step, Steps};
use crate::store::StoreError;

/// A statement that is given up after this long has hung; one that is given up earlier is no
/// longer wanted.
const HANGS: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Session {
    /// Taken when it is dropped.
    live: Option<Live>,
    shelf: Arc<Shelf>,
    standing: Standing,
    /// Whether it has a transaction that is not over.
    pub(super) is_within: bool,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    /// Everything has been answered.
    Free,
    /// Asked, and not answered to the end.
    Asked(Instant),
    /// The session says itself that it is of no use, or its connection is broken.
    Useless,
}

impl Session {
    pub(super) fn new(live: Live, shelf: Arc<Shelf>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            live: Some(live),
            shelf,
            standing: Standing::Free,
            is_within: false,
            _permit: permit,
        }
    }

    pub(super) fn keeps(&self, tables: &str) -> Result<(), StoreError> {
        self.shelf.keeps(tables)
    }

    /// Its connection, for one question, and the note of how that goes.
    fn ask(&mut self) -> Result<(&mut PgConnection, &mut Standing), sqlx::Error> {
        let Self { live, standing, .. } = self;
        standing.ask();
        // None only while it is dropped.
        let live = live.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        Ok((&mut live.connection, standing))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(live) = self.live.take() else {
            return;
        };
        match self.standing {
            Standing::Free if !self.is_within => self.shelf.rest(live),
            // Closed. What hangs or breaks for one does so for those that rest as well.
            Standing::Asked(since) if since.elapsed() < HANGS => {}
            Standing::Asked(_) | Standing::Useless => self.shelf.distrust(),
            Standing::Free => {}
        }
    }
}

impl Standing {
    fn ask(&mut self) {
        if matches!(self, Self::Free) {
            *self = Self::Asked(Instant::now());
        }
    }

    fn answered(&mut self) {
        if matches!(self, Self::Asked(_)) {
            *self = Self::Free;
        }
    }

    fn failed(&mut self, error: &sqlx::Error) {
        if is_end_of_session(error) {
            *self = Self::Useless;
        } else {
            self.answered();
        }
    }
}

/// Whether a session that answers with this is of no further use. The codes are of
/// PostgreSQL's documentation, appendix A.
fn is_end_of_session(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            let fatal = error
                .try_downcast_ref::<PgDatabaseError>()
                .is_some_and(|error| {
                    matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
                });
            fatal
                || error.code().is_some_and(|code| match &*code {
                    // The server is a standby, or takes no writes: another may.
                    "25006" | "55000"
                    // A transaction that is not ours has failed in it.
                    | "25P02" | "25P03"
                    // The tables were made anew: what was prepared by their types, or dropped
                    // by somebody else, is prepared anew by another session.
                    | "0A000" | "26000" => true,
                    // The connection; the server is going or coming; it has lost its way.
                    code => ["08", "57P", "XX"].iter().any(|class| code.starts_with(class)),
                })
        }
        _ => false,
    }
}

impl<'s> Executor<'s> for &'s mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E: 'q + Execute<'q, Postgres>>(self, query: E) -> Steps<'e>
    where
        's: 'e,
    {
        match self.ask() {
            Ok((connection, standing)) => Box::pin(Answer {
                steps: connection.fetch_many(query),
                standing,
            }),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> Reply<'e, Option<PgRow>>
    where
        's: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let (connection, standing) = self.ask()?;
            standing.note(connection.fetch_optional(query).await)
        })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> Reply<'e, PgStatement>
    where
        's: 'e,
    {
        Box::pin(async move {
            let (connection, standing) = self.ask()?;
            standing.note(connection.prepare_with(sql, parameters).await)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> Reply<'e, Describe<Postgres>>
    where
        's: 'e,
    {
        Box::pin(async move {
            let (connection, standing) = self.ask()?;
            standing.note(connection.describe(sql).await)
        })
    }
}

impl Standing {
    fn note<T>(&mut self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        match &answer {
            Ok(_) => self.answered(),
            Err(error) => self.failed(error),
        }
        answer
    }
}

/// Steps of an answer; its session is free once there are no more.
struct Answer<'e> {
    steps: Steps<'e>,
    standing: &'e mut Standing,
}

impl Stream for Answer<'_> {
    type Item = Result<Step, sqlx::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let step = self.steps.poll_next_unpin(context);
        match &step {
            Poll::Ready(None) => self.standing.answered(),
            Poll::Ready(Some(Err(error))) => self.standing.failed(error),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        step
    }
}
