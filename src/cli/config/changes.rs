//! A file against a database: what `plan` shows and `apply` does.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use secrecy::SecretString;

use super::words::{self, Tense};
use crate::cli::database;
use crate::config::Config;
use crate::model::declaration::{Declaration, Plan};
use crate::store::Pool;
use crate::store::declared::ApplyFailed;

#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Such as `postgres://user@host/database`; without it, the file's own
    #[arg(long, value_name = "URL", value_parser = database::secret)]
    database_url: Option<SecretString>,

    /// Makes rows that SQL or another file manages this file's, where both have the name
    #[arg(long)]
    take_over: bool,
}

impl FileArgs {
    /// Prints what `change` makes of the entries that the file declares.
    pub async fn tell(
        self,
        tense: Tense,
        change: impl AsyncFnOnce(&Pool, &Declaration, bool) -> Result<Plan, ApplyFailed>,
    ) -> anyhow::Result<()> {
        let config = Config::load(&self.file)?;
        let declaration = config.declare();
        if declaration.entries.is_empty() {
            let told = words::nothing_declared(&self.file);
            return Ok(writeln!(io::stdout(), "{told}")?);
        }
        let url = database::url(self.database_url, Some(&config))?;
        let pool = database::open(&url, 1).await?;
        let plan = change(&pool, &declaration, self.take_over).await;
        pool.close().await;
        let plan = plan.map_err(|error| explained(&self.file, &error))?;
        Ok(write!(io::stdout(), "{}", words::plan(&plan, tense))?)
    }
}

/// The error with what to do about it.
fn explained(file: &Path, error: &ApplyFailed) -> anyhow::Error {
    match error {
        ApplyFailed::Conflicts(_) | ApplyFailed::TooManyGone(_) => {
            anyhow!("{} cannot be applied:\n  {error}", file.display())
        }
        ApplyFailed::Store(error) => database::refusal(error),
    }
}
