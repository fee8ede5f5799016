//! The schema's version: applying it, and refusing to work on another one.

use std::collections::BTreeMap;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};

use super::declared::install_builtin_profiles;
use super::owner::{NotAlone, Owner, sole_owner};
use super::pool::SEARCH_PATH;
use super::{Pool, StoreError, grants};
use crate::model::declaration::Entry;

/// In Posthorn's own schema: the database is the provider's.
const TABLE: &str = "posthorn.migrations";
const IS_THERE: &str = "SELECT to_regclass('posthorn.migrations') IS NOT NULL";

/// PostgreSQL 14 is the oldest with `xid8` snapshots, SQL function bodies and
/// multi-partition planning as the feed needs them.
const OLDEST_SERVER: i32 = 140_000;

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

#[derive(Debug, thiserror::Error)]
pub enum MigrationFailed {
    #[error("cannot connect: {0}")]
    Connect(#[source] sqlx::Error),
    #[error("PostgreSQL {0} is too old; Posthorn needs 14 or newer")]
    ServerTooOld(String),
    #[error(
        "the schema has {there} shards, fixed at its first migration; leave --shards {asked} out"
    )]
    OtherShards { there: i32, asked: u16 },
    #[error(transparent)]
    NotAlone(#[from] NotAlone),
    #[error(
        "this schema was made before Posthorn's first release, by other files than this version's \
         (number {0} differs), and cannot be brought up to date. Move out of it what is needed, \
         such as subscriptions; then DROP SCHEMA posthorn CASCADE, and run `posthorn migrate` anew"
    )]
    OtherFiles(i64),
    #[error("a newer Posthorn made this schema (number {0} is not known here); upgrade this one")]
    Newer(i64),
    #[error("{0}")]
    Migrate(#[from] MigrateError),
    #[error("cannot settle who may do what: {0}")]
    Rights(#[source] StoreError),
    #[error("cannot write the profiles that come with this version: {0}")]
    Profiles(#[source] sqlx::Error),
}

/// Applies what is missing of the schema. Safe to run twice and from two machines at
/// once: an advisory lock makes the second wait, and it then finds nothing to do.
/// The number of shards is fixed at the first migration, 64 if none is given; asking for
/// another one later is an error. `profiles` are those that come with this version. Returns as
/// whom it did so: the role that owns the schema and everything in it.
pub async fn migrate(
    url: &SecretString,
    shards: Option<u16>,
    profiles: &[Entry],
) -> Result<Owner, MigrationFailed> {
    let mut connection = PgConnectOptions::from_str(url.expose_secret())
        .map_err(MigrationFailed::Connect)?
        .application_name("posthorn migrate")
        .options([
            (
                "posthorn.shards",
                shards.map_or_else(String::new, |shards| shards.to_string()),
            ),
            ("client_min_messages", "warning".to_owned()),
            // The files write a backslash as what it is.
            ("standard_conforming_strings", "on".to_owned()),
        ])
        .options([SEARCH_PATH])
        .connect()
        .await
        .map_err(MigrationFailed::Connect)?;
    let (number, name): (i32, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(MigrationFailed::Connect)?;
    if number < OLDEST_SERVER {
        return Err(MigrationFailed::ServerTooOld(name));
    }
    // Two machines may make the schema at once, and IF NOT EXISTS can still collide. It also
    // needs a right on the database that the owner of a schema need not have.
    connection
        .execute(
            "DO $$ BEGIN
                 PERFORM pg_advisory_xact_lock(hashtext('posthorn.schema'));
                 IF to_regnamespace('posthorn') IS NULL THEN
                     CREATE SCHEMA posthorn;
                 END IF;
             END $$",
        )
        .await
        .map_err(MigrationFailed::Connect)?;
    let owner = sole_owner(&mut connection).await?;
    refuse_other_files(&mut connection).await?;
    migrator().run_direct(None, &mut connection, false).await?;
    grants::settle(&mut connection)
        .await
        .map_err(MigrationFailed::Rights)?;
    install_builtin_profiles(&mut connection, profiles)
        .await
        .map_err(MigrationFailed::Profiles)?;
    let there: i32 = sqlx::query_scalar("SELECT posthorn.shard_count()")
        .fetch_one(&mut connection)
        .await
        .map_err(MigrationFailed::Connect)?;
    match shards {
        Some(asked) if i32::from(asked) != there => {
            Err(MigrationFailed::OtherShards { there, asked })
        }
        _ => Ok(owner),
    }
}

/// A file that was changed since it was applied has left another schema than the later files
/// count on.
async fn refuse_other_files(connection: &mut PgConnection) -> Result<(), MigrationFailed> {
    let there: bool = sqlx::query_scalar(IS_THERE)
        .fetch_one(&mut *connection)
        .await
        .map_err(MigrationFailed::Connect)?;
    if !there {
        return Ok(());
    }
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM posthorn.migrations ORDER BY version")
            .fetch_all(connection)
            .await
            .map_err(MigrationFailed::Connect)?;
    let migrator = migrator();
    let known: BTreeMap<i64, &[u8]> = migrator
        .iter()
        .map(|migration| (migration.version, migration.checksum.as_ref()))
        .collect();
    let newest = known.keys().max().copied().unwrap_or(0);
    let unknown = |(version, checksum): &&(i64, Vec<u8>)| {
        known.get(version).is_none_or(|known| *known != checksum)
    };
    match applied.iter().find(unknown) {
        None => Ok(()),
        Some((version, _)) if *version > newest => Err(MigrationFailed::Newer(*version)),
        Some((version, _)) => Err(MigrationFailed::OtherFiles(*version)),
    }
}

/// How the database's schema stands to the one that this binary knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    Current,
    /// Not there, or migrations are missing: run `posthorn migrate`.
    Older,
    /// A newer Posthorn migrated it: upgrade this binary.
    Newer,
}

pub async fn schema_state(pool: &Pool) -> Result<SchemaState, StoreError> {
    let known = migrator()
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    let there: bool = sqlx::query_scalar(IS_THERE).fetch_one(pool).await?;
    if !there {
        return Ok(SchemaState::Older);
    }
    let applied: i64 = sqlx::query_scalar(
        "SELECT coalesce(max(version), 0) FROM posthorn.migrations WHERE success",
    )
    .fetch_one(pool)
    .await?;
    Ok(match applied.cmp(&known) {
        std::cmp::Ordering::Less => SchemaState::Older,
        std::cmp::Ordering::Equal => SchemaState::Current,
        std::cmp::Ordering::Greater => SchemaState::Newer,
    })
}
