//! `posthorn migrate`: makes the schema, or brings it up to date.

use std::io::{self, Write};

use anyhow::anyhow;
use sqlx::migrate::MigrateError;

use super::database::{self, DatabaseArgs};
use crate::config::builtin_profiles;
use crate::store::schema::{MigrationFailed, migrate};

/// Makes the schema `posthorn` in a database, or brings it up to date. Safe to run
/// again, and from two machines at once.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Slices of the merchants that workers share out, fixed at the first migration; 64
    /// if not given
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    migrate(&args.database.url()?, args.shards, &builtin_profiles())
        .await
        .map_err(|error| anyhow!("{error}{}", remedy(&error)))?;
    Ok(writeln!(io::stdout(), "the schema is up to date")?)
}

fn remedy(error: &MigrationFailed) -> &'static str {
    match error {
        MigrationFailed::Connect(error)
        | MigrationFailed::Profiles(error)
        | MigrationFailed::Migrate(
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
        ) => database::remedy(error),
        MigrationFailed::Migrate(MigrateError::VersionMissing(_)) => {
            "; a newer Posthorn migrated this database: upgrade this one"
        }
        MigrationFailed::Migrate(MigrateError::VersionMismatch(_)) => {
            "; another build of Posthorn migrated this database: use a released one"
        }
        MigrationFailed::Migrate(_)
        | MigrationFailed::ServerTooOld(_)
        | MigrationFailed::OtherShards { .. } => "",
    }
}
