//! A private PostgreSQL with the sessions of the clients, and a gateway on it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, bail};
use posthorn::config::builtin_profiles;
use posthorn::demo::postgres::{PrivatePostgres, Settings};
use posthorn::store::schema::migrate;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::past::Past;
use crate::process::Process;

const PATIENCE: Duration = Duration::from_mins(1);

pub struct Stand {
    postgres: PrivatePostgres,
    pub directory: TempDir,
    pub tokens: Vec<String>,
}

pub struct Gateway {
    process: Process,
    pub address: SocketAddr,
}

impl Stand {
    /// With a session for each of so many transactions.
    pub async fn set_up(sessions: usize, past: Past) -> anyhow::Result<Self> {
        let settings = Settings::default().with("autovacuum", "off");
        let postgres = spawn_blocking(move || PrivatePostgres::start(&settings)).await??;
        let url = postgres.url("postgres");
        migrate(&url.clone().into(), None, &builtin_profiles()).await?;
        let mut stand = Self {
            postgres,
            directory: tempfile::tempdir()?,
            tokens: Vec::new(),
        };
        let pool = stand.connect(1).await?;
        past.fill(&pool).await?;
        stand.tokens = sqlx::query_scalar(
            "SELECT posthorn.issue_session('bench', 't' || n, '1 hour') FROM generate_series(0, $1 - 1) AS n",
        )
        .bind(i32::try_from(sessions)?)
        .fetch_all(&pool)
        .await?;
        pool.close().await;
        Ok(stand)
    }

    pub async fn connect(&self, connections: u32) -> anyhow::Result<PgPool> {
        let options = PgPoolOptions::new().max_connections(connections);
        Ok(options.connect(&self.postgres.url("postgres")).await?)
    }

    /// Transactions that were committed so far; a query is one.
    pub async fn transactions(&self, pool: &PgPool) -> anyhow::Result<u64> {
        let count: i64 = sqlx::query_scalar(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(pool)
        .await?;
        Ok(u64::try_from(count)?)
    }

    pub async fn start_gateway(&self) -> anyhow::Result<Gateway> {
        // The kernel names a free port.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        // All clients come from one address.
        let config = format!(
            "database.url = '{}'\nhttp.listen = '127.0.0.1:0'\nlog.level = 'warn'\n\
             [gateway]\nlisten = '{address}'\nrate_per_address = 1000000\nmax_connections = 100000\n\
             max_connections_per_address = 100000\nbuffer_bytes_per_address = 268435456\n",
            self.postgres.url("postgres")
        );
        let path = self.directory.path().join("config.toml");
        fs::write(&path, config)?;
        let process = Process::start(Process::posthorn().args(["gateway", "--config"]).arg(path))?;
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, listens).await.context("no gateway")?;
        Ok(Gateway { process, address })
    }
}

impl Gateway {
    /// Resident bytes.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid()?))?;
        for line in status.lines() {
            if let Some(rest) = line.strip_prefix("VmRSS:") {
                let kib: u64 = rest.trim().trim_end_matches(" kB").parse()?;
                return Ok(kib * 1_024);
            }
        }
        bail!("this system does not tell a process's memory in /proc")
    }
}
