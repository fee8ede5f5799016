//! A private PostgreSQL with the schema and some subscriptions, and a worker on it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, ensure};
use posthorn::config::builtin_profiles;
use posthorn::demo::postgres::{PrivatePostgres, Settings};
use posthorn::store::schema::migrate;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::process::Process;

/// `user:password` of every subscription: Basic authentication.
pub const CREDENTIALS: &str = "bench:correct horse";
const CREDENTIALS_VARIABLE: &str = "POSTHORN_BENCH_CREDENTIALS";

/// The worker's own database, so that the statistics of this one are the worker's alone.
const DATABASE: &str = "bench";

/// Between two looks at the worker's metrics.
const LOOK: Duration = Duration::from_millis(50);

/// Without progress for so long, a bench has failed.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Subscriptions {
    /// Subscriptions, each of a merchant of its own
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub subscriptions: u32,

    /// Simultaneous requests of each subscription
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub max_in_flight: u16,
}

pub struct Stand {
    pub postgres: PrivatePostgres,
    /// Holds the worker's configuration.
    directory: TempDir,
}

impl Stand {
    /// Commits durably. Autovacuum is off: it would fall into some of these short runs and
    /// not into others.
    pub async fn set_up(receiver: &str, wanted: Subscriptions) -> anyhow::Result<Self> {
        let settings = Settings::default().with("autovacuum", "off");
        let postgres = spawn_blocking(move || PrivatePostgres::start(&settings)).await??;
        let directory = tempfile::tempdir()?;
        let stand = Self {
            postgres,
            directory,
        };
        let server = PgPool::connect(&stand.postgres.url("postgres")).await?;
        sqlx::query("CREATE DATABASE bench")
            .execute(&server)
            .await?;
        server.close().await;
        migrate(&stand.url().into(), None, &builtin_profiles()).await?;
        let pool = stand.connect(1).await?;
        sqlx::query(
            "INSERT INTO posthorn.subscriptions
                    (merchant, name, url, auth, auth_secret, max_in_flight)
             SELECT 'merchant-' || n, 'bench', $1 || '/hook/' || n, 'basic', 'env:' || $2, $3
               FROM generate_series(0, $4 - 1) AS n",
        )
        .bind(receiver)
        .bind(CREDENTIALS_VARIABLE)
        .bind(i32::from(wanted.max_in_flight))
        .bind(i32::try_from(wanted.subscriptions)?)
        .execute(&pool)
        .await?;
        pool.close().await;
        Ok(stand)
    }

    pub fn url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    pub async fn connect(&self, connections: u32) -> anyhow::Result<PgPool> {
        let options = PgPoolOptions::new().max_connections(connections);
        Ok(options.connect(&self.url()).await?)
    }

    pub fn start_worker(&self) -> anyhow::Result<Worker> {
        // The worker only logs the port that it takes; the kernel names a free one here.
        let metrics = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = format!(
            "database.url = '{}'\nhttp.listen = '{metrics}'\nlog.level = 'warn'\n\
             egress.allow = ['127.0.0.0/8']\n",
            self.url()
        );
        let path = self.directory.path().join("config.toml");
        fs::write(&path, config)?;
        let mut command = Process::posthorn();
        command
            .args(["worker", "--config"])
            .arg(path)
            .env(CREDENTIALS_VARIABLE, CREDENTIALS);
        let process = Process::start(&mut command)?;
        Ok(Worker { process, metrics })
    }
}

pub struct Worker {
    pub process: Process,
    metrics: SocketAddr,
}

impl Worker {
    /// Waits until so many deliveries have their ledger rows. Asks the worker, as counting
    /// rows would cost the database more than the worker does.
    pub async fn wait_until_recorded(&self, deliveries: usize) -> anyhow::Result<()> {
        let mut seen = (0, Instant::now());
        loop {
            let metrics = self.read_metrics().await.unwrap_or_default();
            let value = |name| value(&metrics, name);
            let spilled = value("posthorn_deliveries_spilled_total ");
            let entries = value("posthorn_batch_entries_total ");
            if value("posthorn_deliveries_finished_total{state=\"delivered\"} ") >= deliveries
                && entries >= deliveries + spilled
            {
                return Ok(());
            }
            if entries > seen.0 {
                seen = (entries, Instant::now());
            }
            ensure!(
                seen.1.elapsed() < PATIENCE,
                "the worker has recorded {entries} results ({spilled} spilled) and does not go on"
            );
            sleep(LOOK).await;
        }
    }

    async fn read_metrics(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.metrics).await?;
        let request = "GET /metrics HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        read.context("the worker's metrics")?;
        Ok(answer)
    }
}

fn value(metrics: &str, name: &str) -> usize {
    let found = metrics.lines().find_map(|line| line.strip_prefix(name));
    found.and_then(|text| text.parse().ok()).unwrap_or(0)
}
