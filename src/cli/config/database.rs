//! The database of the commands that take a configuration file anyway.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use sqlx::PgPool;

use crate::cli::database::{self, DatabaseArgs};
use crate::config::Config;
use crate::store::connect;
use crate::store::declared::ApplyFailed;

/// A file to compare with a database: the file's own, unless another is given.
#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Such as `postgres://user@host/database`; without it, the file's own
    #[arg(long, value_name = "URL", value_parser = database::secret)]
    pub database_url: Option<secrecy::SecretString>,
}

impl FileArgs {
    pub fn load(self) -> anyhow::Result<(Config, PgPool)> {
        let config = Config::load(&self.file)?;
        let database = DatabaseArgs {
            config: self.database_url.is_none().then_some(self.file),
            database_url: self.database_url,
        };
        let pool = connect(&database.url()?, 1)?;
        Ok((config, pool))
    }
}

/// The error of a plan, with what to do about it.
pub fn explained(file: &Path, error: &ApplyFailed) -> anyhow::Error {
    match error {
        ApplyFailed::Conflicts(_) => anyhow!("{} cannot be applied:\n  {error}", file.display()),
        ApplyFailed::Store(error) => database::refusal(error),
    }
}
