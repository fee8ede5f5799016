//! A private PostgreSQL cluster in a temporary directory, for the demo, the tests and
//! the benches.
//!
//! A keeper (`postgres/keeper.sh`) makes the cluster and holds it for as long as a pipe
//! from this process is open. The kernel closes that pipe however this process ends,
//! kill -9 included, so neither the server nor its directory can outlive it. For the
//! same reason a cluster may live in a `static`, which is never dropped.

mod account;
mod binaries;
mod directory;
mod settings;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use thiserror::Error;

pub use settings::Settings;

/// The superuser of the cluster, for what an administrator does to a server. No role needs a
/// password from this machine.
pub const SUPERUSER: &str = "postgres";

/// A plain role, which owns the database `postgres` as a provider's role owns its own.
pub const OWNER: &str = "posthorn";

/// How many ports to try when another process takes the chosen one before we listen.
const PORT_TRIES: usize = 5;

/// A running cluster. Dropping it stops the server and removes its directory.
#[derive(Debug)]
pub struct PrivatePostgres {
    keeper: Child,
    said: BufReader<ChildStdout>,
    directory: PathBuf,
    port: u16,
    postmaster_pid: u32,
}

/// Why there is no private PostgreSQL.
#[derive(Debug, Error)]
pub enum StartError {
    /// PostgreSQL's binaries were not found.
    #[error(
        "PostgreSQL 14 or newer (initdb, pg_ctl, postgres) was not found; {found}. Run `make setup`, \
         or install the server package (Debian: postgresql, Fedora: postgresql-server, \
         Alpine and Homebrew: postgresql16), or point POSTHORN_PG_BIN at its bin directory"
    )]
    NoBinaries {
        /// What was found instead.
        found: String,
    },
    /// The directory that `POSTHORN_PG_BIN` names is of no use.
    #[error("POSTHORN_PG_BIN={} is not usable: {reason}", .directory.display())]
    BadBinDirectory {
        /// The directory.
        directory: PathBuf,
        /// What keeps the binaries that were found from being used.
        reason: String,
    },
    /// The process is root's, as whom PostgreSQL does not run, and there is nobody else.
    #[error(
        "PostgreSQL refuses to run as root, and /etc/passwd has neither `postgres` nor `nobody` to run it as"
    )]
    NoAccount,
    /// There is no directory that the server's account can use.
    #[error(
        "none of {tried} can be entered and written by the account that PostgreSQL runs as ({account}); \
         set TMPDIR to a directory that can"
    )]
    NoDirectory {
        /// The directories that were tried.
        tried: String,
        /// The name of the account.
        account: String,
    },
    /// No port stayed free for long enough.
    #[error("every port that was chosen for PostgreSQL was taken by another process")]
    NoPort,
    /// The server ended before it was ready.
    #[error("the private PostgreSQL did not start: {output}")]
    Failed {
        /// What the command printed.
        output: String,
    },
    /// A program could not be run, or a file not be written.
    #[error("the private PostgreSQL could not be run")]
    Io(#[from] io::Error),
}

impl PrivatePostgres {
    /// Makes and starts a cluster, and returns when it accepts connections: about a
    /// second. Blocks, so an async caller wants `spawn_blocking`.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        Self::run(&binaries::find()?, settings, None)
    }

    /// Makes and starts a cluster with the binaries of a directory: `initdb`, `pg_ctl` and
    /// `postgres`. The account that PostgreSQL runs as has to be able to read them.
    pub fn start_from(binaries: &Path, settings: &Settings) -> Result<Self, StartError> {
        Self::run(binaries, settings, None)
    }

    /// Makes and starts a standby that streams from `primary`, which commits without it
    /// until its `synchronous_standby_names` says otherwise.
    pub fn standby_of(primary: &Self, settings: &Settings) -> Result<Self, StartError> {
        Self::run(&binaries::find()?, settings, Some(primary.port))
    }

    fn run(binaries: &Path, settings: &Settings, primary: Option<u16>) -> Result<Self, StartError> {
        let account = account::to_run_as()?;
        let base = directory::usable_by(account.as_ref())?;
        for _ in 0..PORT_TRIES {
            let port = free_port()?;
            let mut command = Command::new("/bin/sh");
            command
                .args(["-c", include_str!("postgres/keeper.sh"), "posthorn-keeper"])
                .args([binaries, &base])
                .args([SUPERUSER, OWNER, &settings.to_conf(port)])
                .arg(primary.map(|port| port.to_string()).unwrap_or_default())
                .current_dir("/")
                .env("LC_ALL", "C")
                // Ctrl-C at the terminal reaches this process only, which then decides.
                .process_group(0);
            // PGDATA, PGPORT and their like must not bend what the keeper is told.
            for (name, _) in std::env::vars_os() {
                if name.to_string_lossy().starts_with("PG") {
                    command.env_remove(name);
                }
            }
            if let Some(account) = &account {
                command.uid(account.uid).gid(account.gid);
            }
            match run_keeper(command, port) {
                // A failure on a port that is taken is a lost race, not a broken set-up.
                Err(StartError::Failed { .. }) if !is_free(port) => {}
                result => return result,
            }
        }
        Err(StartError::NoPort)
    }

    /// The URL (`postgres://…`) of a database of the cluster, for the plain role [`OWNER`];
    /// `postgres` exists from the start. The name has to be one that needs no escaping in a URL.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_of(OWNER, database)
    }

    /// The URL (`postgres://…`) of a database, for any role of the cluster.
    #[must_use]
    pub fn url_of(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on which the server listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server; its children are the sessions and the background work.
    #[must_use]
    pub fn postmaster_pid(&self) -> u32 {
        self.postmaster_pid
    }

    /// The cluster's data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Starts the server again after it was killed, and returns when it accepts connections.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        if let Some(keeper) = &mut self.keeper.stdin {
            keeper.write_all(b"start\n")?;
        }
        match next_line(&mut self.said)?.and_then(|pid| pid.parse().ok()) {
            Some(pid) => {
                self.postmaster_pid = pid;
                Ok(())
            }
            None => Err(failure(&mut self.keeper)?),
        }
    }

    /// Stops the server (open sessions are ended) and waits until its directory is gone.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        drop(self.keeper.stdin.take());
        let status = self.keeper.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "the private PostgreSQL did not end cleanly ({status})"
            )))
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // After `stop` this is a second wait, which returns at once.
        let _ = self.end();
    }
}

/// Starts the keeper and follows what it says: its directory, then the postmaster's pid
/// once the server is ready. It ends early, with the reason on stderr, if that fails.
fn run_keeper(mut command: Command, port: u16) -> Result<PrivatePostgres, StartError> {
    let mut keeper = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = keeper.stdout.take().map(BufReader::new);
    let mut said = said.ok_or_else(|| io::Error::other("its output is not a pipe"))?;
    let directory = next_line(&mut said)?;
    let postmaster_pid = next_line(&mut said)?.and_then(|pid| pid.parse().ok());
    if let (Some(directory), Some(postmaster_pid)) = (directory, postmaster_pid) {
        return Ok(PrivatePostgres {
            keeper,
            said,
            directory: Path::new(&directory).to_path_buf(),
            port,
            postmaster_pid,
        });
    }
    Err(failure(&mut keeper)?)
}

/// What a keeper that ended early said of it.
fn failure(keeper: &mut Child) -> io::Result<StartError> {
    let mut output = String::new();
    if let Some(mut stderr) = keeper.stderr.take() {
        stderr.read_to_string(&mut output)?;
    }
    drop(keeper.stdin.take());
    keeper.wait()?;
    Ok(StartError::Failed {
        output: output.trim().to_owned(),
    })
}

fn next_line(said: &mut BufReader<ChildStdout>) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = said.read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim_end().to_owned()))
}

/// Asks the kernel for a port that is free now: PostgreSQL cannot be told to listen on port 0.
pub(super) fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
