//! A private PostgreSQL of a version.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use posthorn::demo::postgres::{OWNER, PrivatePostgres, Settings};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::support::Database;
use crate::support::processes::we_are_root;

pub struct Server {
    pub major: u32,
    pub postgres: PrivatePostgres,
    /// The binaries, where the account that PostgreSQL runs as may read them.
    _binaries: Option<TempDir>,
}

impl Server {
    /// The one that this machine has.
    pub async fn found() -> Self {
        let postgres = spawn_blocking(|| PrivatePostgres::start(&Settings::fast()));
        Self::started(postgres.await.unwrap().unwrap(), None).await
    }

    /// The one that `.ci/postgres` fetches, unless it is there; none where it is not to be had.
    pub async fn of(major: u32) -> Option<Self> {
        let fetched = Command::new(root().join(".ci/postgres"))
            .arg(major.to_string())
            .output()
            .unwrap();
        if !fetched.status.success() {
            println!(
                "SKIPPED: PostgreSQL {major}: {}",
                String::from_utf8_lossy(&fetched.stderr)
            );
            return None;
        }
        let (binaries, copy) = readable(tools().join(major.to_string()));
        let postgres = spawn_blocking(move || {
            PrivatePostgres::start_from(&binaries.join("bin"), &Settings::fast())
        });
        let server = Self::started(postgres.await.unwrap().unwrap(), copy).await;
        assert_eq!(server.major, major);
        Some(server)
    }

    async fn started(postgres: PrivatePostgres, binaries: Option<TempDir>) -> Self {
        let database = Database::connect("postgres", postgres.url("postgres"));
        let version: i32 = database
            .value("SELECT current_setting('server_version_num')::int / 10000")
            .await;
        let plain: bool = database
            .value(
                "SELECT NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
                        AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)
                   FROM pg_roles r WHERE rolname = current_user",
            )
            .await;
        assert!(plain, "{OWNER} is to be a plain role");
        Self {
            major: u32::try_from(version).unwrap(),
            postgres,
            _binaries: binaries,
        }
    }

    /// An empty database, which the plain role owns.
    pub async fn empty(&self, name: &str) -> Database {
        Database::create_in(&self.postgres, name, "template0").await
    }

    /// A role without any right, that may log in.
    pub async fn role(&self, name: &str) {
        Database::connect("postgres", self.postgres.url("postgres"))
            .as_superuser(&format!("CREATE ROLE {name} LOGIN"))
            .await;
    }

    pub async fn stop(self) {
        spawn_blocking(|| self.postgres.stop())
            .await
            .unwrap()
            .unwrap();
    }
}

/// The same database in sessions that look into nothing but PostgreSQL's own schema.
pub fn unbent(database: &Database) -> Database {
    let url = format!("{}?options=-csearch_path%3Dpg_catalog", database.url);
    Database::connect(&database.name, url)
}

/// Which versions were fetched before.
pub fn fetched() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(tools()).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn tools() -> PathBuf {
    root().join("target/tools/postgres")
}

/// As root PostgreSQL is run by somebody else, who may be unable to enter this directory.
fn readable(binaries: PathBuf) -> (PathBuf, Option<TempDir>) {
    if !we_are_root() {
        return (binaries, None);
    }
    let copy = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(copy.path(), Permissions::from_mode(0o755)).unwrap();
    let copied = Command::new("cp")
        .args(["-R", "--"])
        .arg(binaries.join("."))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    (copy.path().to_owned(), Some(copy))
}
