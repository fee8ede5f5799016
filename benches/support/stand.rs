//! A private PostgreSQL with the schema, the days that are behind it, and some subscriptions.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use posthorn::config::builtin_profiles;
use posthorn::demo::postgres::{OWNER, PrivatePostgres, SUPERUSER, Settings};
use posthorn::store::schema::migrate;
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::past::Past;
use super::usage::cpu_ms_with_children;

/// The worker's own database, so that the statistics of this one are the worker's alone.
pub const DATABASE: &str = "bench";

/// PostgreSQL 14 passes a session's counts on this late at most.
const STATISTICS: Duration = Duration::from_millis(600);

pub struct Stand {
    pub postgres: PrivatePostgres,
    /// The superuser's, and not in the worker's database: only its own commits are counted there.
    pub server: PgPool,
    /// Holds the workers' configurations, and files that subscriptions name.
    directory: TempDir,
    pub past: Past,
}

/// What the database had used, and written, at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    pub cpu_ms: u64,
    pub wal_bytes: i64,
}

impl Stand {
    /// Commits durably. Autovacuum is off: it would fall into some of these short runs and
    /// not into others.
    pub async fn set_up(past: Past) -> anyhow::Result<Self> {
        Self::with(Self::settings(), past).await
    }

    /// The settings of [`Self::set_up`].
    pub fn settings() -> Settings {
        Settings::default().with("autovacuum", "off")
    }

    /// A server that nobody has touched: autovacuum is on.
    pub async fn as_installed(past: Past) -> anyhow::Result<Self> {
        Self::with(Settings::default(), past).await
    }

    pub async fn with(settings: Settings, past: Past) -> anyhow::Result<Self> {
        let postgres = spawn_blocking(move || PrivatePostgres::start(&settings)).await??;
        let server = PgPool::connect(&postgres.url_of(SUPERUSER, "postgres")).await?;
        let stand = Self {
            postgres,
            server,
            directory: tempfile::tempdir()?,
            past,
        };
        let create = format!("CREATE DATABASE {DATABASE} OWNER {OWNER}");
        sqlx::query(AssertSqlSafe(create))
            .execute(&stand.server)
            .await?;
        migrate(&stand.url().into(), None, &builtin_profiles()).await?;
        let pool = stand.connect(1).await?;
        past.fill(&pool).await?;
        pool.close().await;
        stand.checkpoint().await?;
        Ok(stand)
    }

    pub fn url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub async fn connect(&self, connections: u32) -> anyhow::Result<PgPool> {
        let options = PgPoolOptions::new().max_connections(connections);
        Ok(options.connect(&self.url()).await?)
    }

    /// Any number of statements without parameters, in a session of their own.
    pub async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        let pool = self.connect(1).await?;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&pool)
            .await?;
        pool.close().await;
        Ok(())
    }

    /// Subscriptions of `merchant-first` and the following ones, one each. The keys of
    /// `settings` are columns; `{n}` in it stands for the merchant's number.
    pub async fn subscribe(&self, first: u32, count: u32, settings: &Value) -> anyhow::Result<()> {
        let mut row = settings.clone();
        row["merchant"] = "merchant-{n}".into();
        row["name"] = "bench".into();
        let columns = row.as_object().into_iter().flat_map(|row| row.keys());
        let columns: Vec<String> = columns.map(|name| format!("\"{name}\"")).collect();
        let columns = columns.join(", ");
        let pool = self.connect(1).await?;
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO posthorn.subscriptions ({columns})
             SELECT {columns}
               FROM generate_series($1::bigint, $1 + $2::bigint - 1) AS n,
                    jsonb_populate_record(NULL::posthorn.subscriptions,
                                          replace($3, '{{n}}', n::text)::jsonb)"
        )))
        .bind(i64::from(first))
        .bind(i64::from(count))
        .bind(row.to_string())
        .execute(&pool)
        .await?;
        pool.close().await;
        Ok(())
    }

    /// Workers have read all that is committed, so that nothing of it is fresh; and the server
    /// has done its own work on it.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.execute(
            "UPDATE posthorn.shards SET checkpoint = pg_current_snapshot(), cluster = posthorn.cluster()",
        )
        .await?;
        // Each a transaction of its own. Autovacuum finds nothing left to do.
        self.execute("VACUUM ANALYZE").await?;
        self.checkpoint().await
    }

    /// What was written so far is on the disk, and of no concern to what is measured next.
    pub async fn checkpoint(&self) -> anyhow::Result<()> {
        sqlx::query("CHECKPOINT").execute(&self.server).await?;
        Ok(())
    }

    /// The CPU of the server and all its processes, those that ended included, and its WAL.
    pub async fn used(&self) -> anyhow::Result<Used> {
        let wal_bytes = sqlx::query_scalar("SELECT (pg_current_wal_lsn() - '0/0')::int8")
            .fetch_one(&self.server)
            .await?;
        Ok(Used {
            cpu_ms: cpu_ms_with_children(self.postgres.postmaster_pid())?,
            wal_bytes,
        })
    }

    /// The commits in the workers' database when no session is left in it: a session may
    /// keep its counts to itself until it ends.
    pub async fn settled_commits(&self) -> anyhow::Result<i64> {
        let mut before = None;
        loop {
            let (sessions, now): (i64, i64) = sqlx::query_as(
                "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = 'bench'),
                        (SELECT xact_commit FROM pg_stat_database WHERE datname = 'bench')",
            )
            .fetch_one(&self.server)
            .await?;
            if sessions == 0 && before == Some(now) {
                return Ok(now);
            }
            before = Some(now);
            sleep(STATISTICS).await;
        }
    }

    /// Transactions of the workers' database so far, each a statement unless somebody says
    /// BEGIN; as late as sessions pass their counts on.
    pub async fn transactions(&self) -> anyhow::Result<i64> {
        let counts = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1";
        let counts = sqlx::query_scalar(counts).bind(DATABASE);
        Ok(counts.fetch_one(&self.server).await?)
    }

    /// The database's clock.
    pub async fn now(&self) -> anyhow::Result<DateTime<Utc>> {
        let now = sqlx::query_scalar("SELECT clock_timestamp()");
        Ok(now.fetch_one(&self.server).await?)
    }

    /// Deliveries that ended after `since`, and the seconds from the first request to the
    /// last row of the ledger, as the ledger has them; of those that ended after the share
    /// `settled` of them had.
    pub async fn drained(&self, since: DateTime<Utc>, settled: f64) -> anyhow::Result<(i64, f64)> {
        let pool = self.connect(1).await?;
        let drained = sqlx::query_as(
            "WITH ended AS (
                SELECT finished_at, percent_rank() OVER (ORDER BY finished_at) AS share
                  FROM posthorn.deliveries WHERE state = 'delivered' AND finished_at >= $1
             )
             SELECT count(*), coalesce(extract(epoch FROM max(finished_at)
                    - CASE WHEN $2 > 0 THEN min(finished_at)
                           ELSE (SELECT min(started_at) FROM posthorn.attempts WHERE started_at >= $1) END), 0)::float8
               FROM ended WHERE share >= $2",
        )
        .bind(since)
        .bind(settled)
        .fetch_one(&pool)
        .await?;
        pool.close().await;
        Ok(drained)
    }
}
