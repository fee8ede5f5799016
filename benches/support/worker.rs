//! Workers on a stand, as processes, and what their metrics say.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::process::Process;
use super::stand::Stand;

/// `user:password` of every subscription with Basic authentication.
pub const CREDENTIALS: &str = "bench:correct horse";
/// The secret that Standard Webhooks messages are signed with.
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Between two looks at a worker's metrics.
const LOOK: Duration = Duration::from_millis(50);

/// Without progress for so long, a bench has failed.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Worker {
    pub process: Process,
    metrics: SocketAddr,
}

impl Worker {
    /// A worker with the defaults, but for the egress policy, as it sends to this machine, and for
    /// the retention, where the stand has older days.
    /// Subscriptions find their secrets in `env:CREDENTIALS` and `env:SIGNING`.
    pub fn start(stand: &Stand) -> anyhow::Result<Self> {
        // The worker only logs the port that it takes; the kernel names a free one here.
        let metrics = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = format!(
            "database.url = '{}'\nhttp.listen = '{metrics}'\nlog.level = 'warn'\n\
             egress.allow = ['127.0.0.0/8']\nmaintenance.retention_days = {}\n",
            stand.url(),
            stand.past.retention_days()
        );
        let path = stand.directory().join(format!("{}.toml", metrics.port()));
        fs::write(&path, config)?;
        let mut command = Process::posthorn();
        command
            .args(["worker", "--config"])
            .arg(path)
            .env("CREDENTIALS", CREDENTIALS)
            .env("SIGNING", SIGNING);
        let process = Process::start(&mut command)?;
        Ok(Self { process, metrics })
    }

    /// Waits until so many deliveries have their ledger rows. Asks the worker, as counting
    /// rows would cost the database more than the worker does.
    pub async fn wait_until_recorded(&self, deliveries: usize) -> anyhow::Result<()> {
        wait_until_recorded(&[self], deliveries).await
    }

    /// Waits until a gauge or counter, named as it stands in the metrics, has a value.
    pub async fn wait_for(&self, series: &str, is: impl Fn(usize) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is(self.metric(series).await?) {
            ensure!(began.elapsed() < PATIENCE, "{series} does not change");
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// 0 for one that is not there, or while the worker does not answer.
    pub async fn metric(&self, series: &str) -> anyhow::Result<usize> {
        Ok(value(
            &self.read_metrics().await.unwrap_or_default(),
            series,
        ))
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

/// The same over several workers.
pub async fn wait_until_recorded(workers: &[&Worker], deliveries: usize) -> anyhow::Result<()> {
    let mut seen = (0, Instant::now());
    loop {
        let (mut finished, mut entries, mut spilled) = (0, 0, 0);
        for worker in workers {
            let metrics = worker.read_metrics().await.unwrap_or_default();
            finished += value(&metrics, FINISHED);
            entries += value(&metrics, "posthorn_batch_entries_total");
            spilled += value(&metrics, "posthorn_deliveries_spilled_total");
        }
        if finished >= deliveries && entries >= deliveries + spilled {
            return Ok(());
        }
        if entries > seen.0 {
            seen = (entries, Instant::now());
        }
        ensure!(
            seen.1.elapsed() < PATIENCE,
            "the workers have recorded {entries} results ({spilled} spilled) and do not go on"
        );
        sleep(LOOK).await;
    }
}

const FINISHED: &str = "posthorn_deliveries_finished_total{state=\"delivered\"}";

fn value(metrics: &str, series: &str) -> usize {
    let found = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    // Gauges of seconds have decimals.
    let whole = found.and_then(|text| text.split('.').next());
    whole.and_then(|text| text.parse().ok()).unwrap_or(0)
}
