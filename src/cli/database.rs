//! Which database a command works on, and what to do when it does not.

use std::convert::Infallible;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::{Config, Database, check_encoding};
use crate::store::schema::{Unfit, refuse_unfit};
use crate::store::{Pool, StoreError, connect, first_host_of};

/// `DATABASE_URL` is not an `env` of clap's, which would print its value in the help.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseArgs {
    /// The worker's configuration file, for its database
    #[arg(long, value_name = "PATH", conflicts_with = "database_url")]
    pub config: Option<PathBuf>,

    /// Such as `postgres://user@host/database`; without both, the environment variable
    /// `DATABASE_URL`, which other users of the machine cannot see
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub database_url: Option<SecretString>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap's parsers may fail")]
pub fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.into())
}

impl DatabaseArgs {
    pub fn url(self) -> anyhow::Result<SecretString> {
        let config = self.load()?;
        url(self.database_url, config.as_ref())
    }

    /// Loads the configuration file, if one is given.
    pub fn load(&self) -> anyhow::Result<Option<Config>> {
        Ok(self.config.as_deref().map(Config::load).transpose()?)
    }
}

/// Gives the URL that was given, or the file's, or the environment's.
pub fn url(given: Option<SecretString>, config: Option<&Config>) -> anyhow::Result<SecretString> {
    let url = match (given, config) {
        (Some(url), _) => url,
        (None, Some(config)) => config.database.url.read()?,
        (None, None) => Database::default()
            .url
            .read()
            .map_err(|error| anyhow!("{error}, or give --database-url or --config"))?,
    };
    check_encoding(&url)?;
    check(&url)?;
    Ok(url)
}

/// Refuses a URL that names no host that was meant: the driver takes much for a URL, and then looks
/// for one.
pub fn check(url: &SecretString) -> anyhow::Result<()> {
    const REMEDY: &str = "give one such as postgres://user:password@host:5432/database, \
                          special characters of the password percent-encoded";
    match Url::parse(&first_host_of(url.expose_secret())) {
        Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => Ok(()),
        Ok(_) => bail!("the database URL does not begin with postgres://; {REMEDY}"),
        Err(error) => bail!("the database URL cannot be read: {error}; {REMEDY}"),
    }
}

/// Opens a pool for a command, and refuses a schema that is none of this version's.
pub async fn open(url: &SecretString, max_connections: u32) -> anyhow::Result<Pool> {
    let pool = connect(url, max_connections).map_err(|error| refusal(&error))?;
    match refuse_unfit(&pool).await {
        Ok(()) => Ok(pool),
        // Who may not even look at it is told by what the command asks for.
        Err(Unfit::Store(error)) if error.is_forbidden() => Ok(pool),
        Err(Unfit::Store(error)) => Err(refusal(&error)),
        Err(unfit) => Err(unfit.into()),
    }
}

/// Makes an error of the store one that says what to do about it.
#[must_use]
pub fn refusal(error: &StoreError) -> anyhow::Error {
    anyhow!("{error}{}", error.remedy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(url: &str) -> DatabaseArgs {
        DatabaseArgs {
            config: None,
            database_url: Some(url.into()),
        }
    }

    #[test]
    fn a_url_is_taken_as_it_stands() {
        for url in [
            "postgres://posthorn@127.0.0.1:5499/dev",
            "postgresql:///dev?host=/run/postgresql",
        ] {
            assert_eq!(given(url).url().unwrap().expose_secret(), url);
        }
    }

    #[test]
    fn what_is_no_url_of_postgres_is_refused_without_showing_it() {
        for url in [
            "",
            "hunter2",
            "mysql://u:hunter2@h/db",
            "postgres://u:hunter2#x@h/db",
            "postgres://u:hunter2@h:port/db",
        ] {
            let error = given(url).url().unwrap_err().to_string();
            assert!(
                error.contains("give one such as postgres://user"),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debugging_the_arguments_shows_no_password() {
        let shown = format!("{:?}", given("postgres://u:hunter2@h/db"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
