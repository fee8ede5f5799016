//! `PgBouncer` in transaction mode between the workers and the database, and its restarts.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::account::{Publisher, subscribe};
use crate::rig::{Rig, is_full, wait_until};
use crate::support::processes::we_are_root;
use crate::support::{SHORT_LEASE, Setup};
use crate::table::report;

const POOLED: &str = "database.transaction_pooler = true";

/// Killed when it is dropped.
struct Bouncer {
    process: Child,
    directory: TempDir,
    port: u16,
}

impl Bouncer {
    /// None: this machine has none.
    fn start(database: u16) -> Option<Self> {
        let found = [
            "/usr/sbin/pgbouncer",
            "/usr/bin/pgbouncer",
            "/usr/local/bin/pgbouncer",
        ]
        .into_iter()
        .find(|path| Path::new(path).exists())?;
        let directory = tempfile::tempdir().unwrap();
        // As root it has to become somebody else, who reads this.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let users = directory.path().join("users.txt");
        std::fs::write(&users, "\"posthorn\" \"\"\n").unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={database}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = 6\nmax_client_conn = 200\n",
            users.display()
        );
        std::fs::write(directory.path().join("pgbouncer.ini"), settings).unwrap();
        Some(Self {
            process: run(found, directory.path()),
            directory,
            port,
        })
    }

    fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = run("pgbouncer", self.directory.path());
    }

    fn url(&self) -> String {
        format!("postgres://posthorn@127.0.0.1:{}/postgres", self.port)
    }
}

fn run(binary: &str, directory: &Path) -> Child {
    let mut command = Command::new(binary);
    command
        .env("PATH", "/usr/sbin:/usr/bin:/usr/local/bin:/bin")
        .arg(directory.join("pgbouncer.ini"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if we_are_root() {
        command.args(["-u", "nobody"]);
    }
    command.spawn().unwrap()
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_work_through_a_pooler_and_its_restarts() {
    let restarts = if is_full() { 10 } else { 2 };
    let rig = Rig::set_up().await;
    let Some(mut bouncer) = Bouncer::start(rig.postgres.port()) else {
        println!("SKIPPED: pgbouncer is not installed; .ci/setup installs it");
        return;
    };
    subscribe(&rig).await;
    let pooled = |name: &str| {
        Setup::with_url(&bouncer.url())
            .toml(&format!("worker.name = '{name}'"))
            .toml(SHORT_LEASE)
            .toml(POOLED)
    };
    let one = pooled("one").start().await;
    let two = pooled("two").start().await;
    wait_until("the shards are shared", async || {
        rig.shards_of(&["two"]).await == 32
    })
    .await;
    let publisher = Publisher::start(rig.pool.clone(), 100.0);
    let mut slowest = Duration::ZERO;
    for _ in 0..restarts {
        publisher.more(300).await;
        bouncer.restart();
        let back = Instant::now();
        rig.until_requests_go_out().await;
        slowest = slowest.max(back.elapsed());
    }
    let account = publisher.settle(&rig).await;
    for worker in [one, two] {
        let log = worker.log();
        assert!(!log.contains("prepared statement"), "{log}");
    }
    let fault = format!("{restarts} kill -9 and restarts of PgBouncer");
    report(&fault, &account, slowest, "from its start to deliveries");
}
