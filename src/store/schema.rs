//! The schema's version: applying it, and refusing to work on another one.

use std::collections::BTreeMap;

use secrecy::SecretString;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Executor, PgConnection};

use super::declared::install_builtin_profiles;
use super::owner::{NotAlone, Owner, sole_owner};
use super::pool::{RELIED_ON, connect_once};
use super::remedy::remedy;
use super::{Pool, StoreError, grants};
use crate::model::declaration::Entry;

/// The table of what was applied. It is in Posthorn's own schema: the database is the provider's.
const TABLE: &str = "posthorn.migrations";
const IS_THERE: &str = "SELECT to_regclass('posthorn.migrations') IS NOT NULL";

/// PostgreSQL 14 is the oldest with `xid8` snapshots, SQL function bodies and
/// multi-partition planning as the feed needs them.
const OLDEST_SERVER: i32 = 140_000;

/// The one in which all can be stored that applications write and receivers answer.
const ENCODING: &str = "UTF8";

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// Why the schema was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationFailed {
    /// The database cannot be reached, or does not answer the first questions.
    #[error("cannot connect: {}", .0.words())]
    Connect(StoreError),
    /// The server is older than Posthorn can work with.
    #[error("PostgreSQL {0} is too old; Posthorn needs 14 or newer")]
    ServerTooOld(String),
    /// The database cannot store everything that is written.
    #[error(
        "the encoding of this database is {0}, in which not everything can be stored that \
         applications write and receivers answer; Posthorn needs UTF8. Make a database with \
         CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and restore a dump of this one in it"
    )]
    Encoding(String),
    /// The number of shards is fixed, and another one was asked for.
    #[error(
        "the schema has {there} shards, fixed at its first migration; leave --shards {asked} out"
    )]
    OtherShards {
        /// How many there are.
        there: i32,
        /// How many were asked for.
        asked: u16,
    },
    /// The schema is, or could be, another role's.
    #[error(transparent)]
    NotAlone(#[from] NotAlone),
    /// The schema was made by other migrations than those of this version.
    #[error(
        "this schema was made before Posthorn's first release, by other files than this version's \
         (number {0} differs), and cannot be brought up to date. Move out of it what is needed, \
         such as subscriptions; then DROP SCHEMA posthorn CASCADE, and run `posthorn migrate` anew"
    )]
    OtherFiles(i64),
    /// The schema has a migration that this version does not know.
    #[error("a newer Posthorn made this schema (number {0} is not known here); upgrade this one")]
    Newer(i64),
    /// A migration failed, and was taken back.
    #[error("{says}")]
    Migrate {
        /// Which one, and what the database says.
        says: String,
        /// What to do about it, as the end of a line; empty where the words say so.
        remedy: &'static str,
    },
    /// The rights of roles could not be settled after the migrations.
    #[error("cannot settle who may do what: {0}")]
    Rights(StoreError),
    /// The profiles could not be written after the migrations.
    #[error("cannot write the profiles that come with this version: {}", .0.words())]
    Profiles(StoreError),
}

impl MigrationFailed {
    /// What to do about it, as the end of its line; empty where its own words say so.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Connect(error) | Self::Profiles(error) | Self::Rights(error) => error.remedy(),
            Self::Migrate { remedy, .. } => remedy,
            Self::NotAlone(_)
            | Self::OtherFiles(_)
            | Self::Newer(_)
            | Self::ServerTooOld(_)
            | Self::Encoding(_)
            | Self::OtherShards { .. } => "",
        }
    }
}

impl From<MigrateError> for MigrationFailed {
    fn from(error: MigrateError) -> Self {
        Self::Migrate {
            says: error.to_string(),
            remedy: match &error {
                MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => {
                    remedy(cause)
                }
                _ => "",
            },
        }
    }
}

/// Applies what is missing of the schema. Safe to run twice and from two machines at
/// once: an advisory lock makes the second wait, and it then finds nothing to do.
/// The number of shards is fixed at the first migration, 64 if none is given; asking for
/// another one later is an error. `profiles` are those that come with this version.
pub async fn migrate(
    url: &SecretString,
    shards: Option<u16>,
    profiles: &[Entry],
) -> Result<Migrated, MigrationFailed> {
    let mut connection = connect(url, shards).await?;
    refuse_unfit_server(&mut connection).await?;
    make_schema(&mut connection).await?;
    let owner = sole_owner(&mut connection).await?;
    let before = applied(&mut connection).await?;
    refuse_other_files(&before)?;
    let migrator = migrator();
    migrator.run_direct(None, &mut connection, false).await?;
    let rights = grants::settle(&mut connection)
        .await
        .map_err(MigrationFailed::Rights)?;
    install_builtin_profiles(&mut connection, profiles)
        .await
        .map_err(MigrationFailed::Profiles)?;
    let there: i32 = sqlx::query_scalar("SELECT posthorn.shard_count()")
        .fetch_one(&mut connection)
        .await
        .map_err(cannot_connect)?;
    if let Some(asked) = shards
        && i32::from(asked) != there
    {
        return Err(MigrationFailed::OtherShards { there, asked });
    }
    let missing = migrator
        .iter()
        .filter(|migration| !before.contains_key(&migration.version));
    Ok(Migrated {
        owner,
        shards: there,
        migrations: migrator.iter().count(),
        is_new: before.is_empty(),
        applied: missing
            .map(|migration| format!("{:04} {}", migration.version, migration.description))
            .collect(),
        rights,
    })
}

fn cannot_connect(error: sqlx::Error) -> MigrationFailed {
    MigrationFailed::Connect(error.into())
}

/// A session in which the first migration finds how many shards are asked for.
async fn connect(url: &SecretString, shards: Option<u16>) -> Result<PgConnection, MigrationFailed> {
    let count = shards.map_or_else(String::new, |shards| shards.to_string());
    let connected = connect_once(url, |host| {
        host.application_name("posthorn migrate")
            .options([("posthorn.shards", &count)])
            .options(RELIED_ON)
    });
    connected.await.map_err(cannot_connect)
}

async fn refuse_unfit_server(connection: &mut PgConnection) -> Result<(), MigrationFailed> {
    let (number, name, encoding): (i32, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                getdatabaseencoding()::text",
    )
    .fetch_one(connection)
    .await
    .map_err(cannot_connect)?;
    if number < OLDEST_SERVER {
        Err(MigrationFailed::ServerTooOld(name))
    } else if encoding != ENCODING {
        Err(MigrationFailed::Encoding(encoding))
    } else {
        Ok(())
    }
}

/// Two machines may make the schema at once, and IF NOT EXISTS can still collide. It also
/// needs a right on the database that the owner of a schema need not have.
async fn make_schema(connection: &mut PgConnection) -> Result<(), MigrationFailed> {
    let made = connection.execute(
        "DO $$ BEGIN
             PERFORM pg_advisory_xact_lock(hashtext('posthorn.schema'));
             IF to_regnamespace('posthorn') IS NULL THEN
                 CREATE SCHEMA posthorn;
             END IF;
         END $$",
    );
    made.await.map_err(cannot_connect)?;
    Ok(())
}

/// What bringing a schema up to date came to.
#[derive(Clone, Debug)]
pub struct Migrated {
    /// The role that owns the schema and everything in it.
    pub owner: Owner,
    /// How many shards the schema has.
    pub shards: i32,
    /// How many migrations the schema has.
    pub migrations: usize,
    /// Whether there was no schema before.
    pub is_new: bool,
    /// The migrations that were missing, such as `0013 rights`. One that another machine applied
    /// at the same moment may be among them.
    pub applied: Vec<String>,
    /// Who may do what now.
    pub rights: grants::Settled,
}

/// The checksums of what was applied, by version.
async fn applied(connection: &mut PgConnection) -> Result<BTreeMap<i64, Vec<u8>>, MigrationFailed> {
    let there: bool = sqlx::query_scalar(IS_THERE)
        .fetch_one(&mut *connection)
        .await
        .map_err(cannot_connect)?;
    if !there {
        return Ok(BTreeMap::new());
    }
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM posthorn.migrations")
            .fetch_all(connection)
            .await
            .map_err(cannot_connect)?;
    Ok(applied.into_iter().collect())
}

/// A file that was changed since it was applied has left another schema than the later files
/// count on.
fn refuse_other_files(applied: &BTreeMap<i64, Vec<u8>>) -> Result<(), MigrationFailed> {
    let migrator = migrator();
    let known: BTreeMap<i64, &[u8]> = migrator
        .iter()
        .map(|migration| (migration.version, migration.checksum.as_ref()))
        .collect();
    let newest = known.keys().max().copied().unwrap_or(0);
    let unknown = |(version, checksum): &(&i64, &Vec<u8>)| {
        known.get(*version).is_none_or(|known| known != checksum)
    };
    match applied.iter().find(unknown) {
        None => Ok(()),
        Some((version, _)) if *version > newest => Err(MigrationFailed::Newer(*version)),
        Some((version, _)) => Err(MigrationFailed::OtherFiles(*version)),
    }
}

/// How many migrations a process may be away from the schema that it works on: between `posthorn
/// migrate` and the new binary on every machine, messages go on being delivered, and support goes
/// on asking. Workers and gateways work on a newer schema alone (docs/UPGRADING.md).
const NEAR: i64 = 1;

/// How the database's schema stands to the one that this binary knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// The schema is the one that this binary knows.
    Current,
    /// The schema is one migration newer: an upgrade is under way, and this binary works on.
    Ahead,
    /// The schema is not there, or migrations are missing: run `posthorn migrate`.
    Older,
    /// The schema was made by a Posthorn that is newer by more than that: upgrade this binary.
    Newer,
    /// The database has an encoding that cannot hold everything: a dump was restored there.
    ForeignEncoding,
}

/// How the database's schema stands, and whether its encoding will do.
pub async fn schema_state(pool: &Pool) -> Result<SchemaState, StoreError> {
    let encoding: String = sqlx::query_scalar("SELECT getdatabaseencoding()::text")
        .fetch_one(pool)
        .await?;
    if encoding != ENCODING {
        return Ok(SchemaState::ForeignEncoding);
    }
    let Versions { applied, known } = versions(pool).await?;
    Ok(match applied.unwrap_or(0) - known {
        ..=-1 => SchemaState::Older,
        0 => SchemaState::Current,
        1..=NEAR => SchemaState::Ahead,
        _ => SchemaState::Newer,
    })
}

/// Why a command must not work on the schema: what it would ask and write may mean something
/// else there.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// There is no schema.
    #[error("the database has no schema posthorn; run `posthorn migrate` first")]
    Missing,
    /// The schema is older than this version by more than one migration.
    #[error(
        "the database's schema is older than this command knows (it has migration {applied}, and this \
         version {known}); run `posthorn migrate`, or use the posthorn that it was made with"
    )]
    TooOld {
        /// The newest migration that the schema has.
        applied: i64,
        /// The newest migration that this version has.
        known: i64,
    },
    /// The schema is newer than this version by more than one migration.
    #[error(
        "the database's schema is newer than this command knows (it has migration {applied}, and this \
         version {known}); upgrade posthorn"
    )]
    TooNew {
        /// The newest migration that the schema has.
        applied: i64,
        /// The newest migration that this version has.
        known: i64,
    },
    /// The database did not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses a schema that is more than one migration older or newer than this version's.
pub async fn refuse_unfit(pool: &Pool) -> Result<(), Unfit> {
    let Versions { applied, known } = versions(pool).await?;
    match applied {
        None => Err(Unfit::Missing),
        Some(applied) if applied < known - NEAR => Err(Unfit::TooOld { applied, known }),
        Some(applied) if applied > known + NEAR => Err(Unfit::TooNew { applied, known }),
        Some(_) => Ok(()),
    }
}

struct Versions {
    /// The newest migration that the schema has; none: there is no schema.
    applied: Option<i64>,
    known: i64,
}

async fn versions(pool: &Pool) -> Result<Versions, StoreError> {
    let known = migrator()
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    let there: bool = sqlx::query_scalar(IS_THERE).fetch_one(pool).await?;
    let applied = if there {
        sqlx::query_scalar("SELECT max(version) FROM posthorn.migrations WHERE success")
            .fetch_one(pool)
            .await?
    } else {
        None
    };
    Ok(Versions { applied, known })
}
