//! The sessions of a pool: those that rest, and how new ones are made.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Way;
use super::hosts::Hosts;
use super::session::Session;
use super::settings::where_known;
use crate::model::cluster::{tables_in_their_server, tables_of};
use crate::store::StoreError;

/// How long to wait for a session before the database counts as away.
const ACQUIRE: Duration = Duration::from_secs(5);

/// A session that nobody needs, and one that has grown old with what it remembers, is closed.
const RESTS: Duration = Duration::from_mins(10);
const LIVES: Duration = Duration::from_mins(30);

/// How long the last words to a server may take.
const GOODBYE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Shelf {
    hosts: Hosts,
    way: Way,
    places: Arc<Semaphore>,
    resting: Mutex<Resting>,
    /// The tables of the one database that is meant, once it is known.
    tables: OnceLock<String>,
}

/// A connection, and since when it is there.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) connection: PgConnection,
    opened: Instant,
}

#[derive(Debug)]
struct Resting {
    /// The last to come is the first to go, so that what is not needed grows old.
    sessions: Vec<(Instant, Live)>,
    /// Sessions from before this moment are not taken back.
    trusted_since: Instant,
}

impl Shelf {
    pub(super) fn new(hosts: Hosts, way: Way, most: u32) -> Self {
        Self {
            hosts,
            way,
            places: Arc::new(Semaphore::new(most as usize)),
            resting: Mutex::new(Resting {
                sessions: Vec::new(),
                trusted_since: Instant::now(),
            }),
            tables: OnceLock::new(),
        }
    }

    pub(super) async fn lend(self: &Arc<Self>) -> Result<Session, sqlx::Error> {
        let session = async {
            let permit = Arc::clone(&self.places).acquire_owned().await;
            let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
            let rested = self.resting().sessions.pop();
            let live = match rested {
                Some((_, live)) => live,
                None => Live {
                    connection: self.connect().await?,
                    opened: Instant::now(),
                },
            };
            Ok(Session::new(live, Arc::clone(self), permit))
        };
        let in_time = timeout(ACQUIRE, session).await;
        in_time.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.hosts.connect(ACQUIRE).await?;
        // What a pooler gives a transaction says nothing of the next one's.
        if self.way == Way::Direct {
            for setting in where_known(connection.server_version_num().unwrap_or(0)) {
                match connection.execute(*setting).await {
                    Ok(_) | Err(sqlx::Error::Database(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            if let Some(tables) = self.tables.get() {
                leads_to(tables, &mut connection).await?;
            }
        }
        Ok(connection)
    }

    pub(super) fn keep_to(&self, cluster: &str) {
        // Once: whoever means another database makes another pool.
        let _ = self.tables.set(tables_of(cluster).to_owned());
    }

    pub(super) fn keeps(&self, tables: &str) -> Result<(), StoreError> {
        let other = |ours: &String| tables_in_their_server(ours) != tables;
        if self.tables.get().is_some_and(other) {
            return Err(StoreError::Replaced);
        }
        Ok(())
    }

    /// Takes a session back.
    pub(super) fn rest(&self, live: Live) {
        let now = Instant::now();
        let mut resting = self.resting();
        let trusted = live.opened >= resting.trusted_since;
        let young = now.duration_since(live.opened) < LIVES;
        if trusted && young && !self.places.is_closed() {
            resting.sessions.push((now, live));
        }
        let tired = |since: &Instant| now.duration_since(*since) >= RESTS;
        while resting
            .sessions
            .first()
            .is_some_and(|(since, _)| tired(since))
        {
            resting.sessions.remove(0);
        }
    }

    /// A session hung, broke or was of no use: so are those that were made before this moment.
    pub(super) fn distrust(&self) {
        let mut resting = self.resting();
        resting.trusted_since = Instant::now();
        resting.sessions.clear();
    }

    /// Nobody gets a session any more; those that rest are closed in order.
    pub(super) async fn close(&self) {
        self.places.close();
        let sessions = std::mem::take(&mut self.resting().sessions);
        for (_, live) in sessions {
            // A server that is away does not need to hear it.
            let _ = timeout(GOODBYE, live.connection.close()).await;
        }
    }

    fn resting(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn leads_to(tables: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let cluster: String = sqlx::query_scalar("SELECT posthorn.cluster()")
        .fetch_one(connection)
        .await?;
    if tables_of(&cluster) == tables {
        Ok(())
    } else {
        Err(sqlx::Error::Configuration(
            "another database is where this one was".into(),
        ))
    }
}
