//! `posthorn gateway`: answers those who fetch their events, until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use tokio::net::TcpListener;
use tracing::info;

use super::{logs, signals};
use crate::config::Config;
use crate::gateway::Ground;
use crate::http::server::serve;
use crate::http::{Health, Metrics};
use crate::start::{allow_open_files, open_gateway, reach_database, way};
use crate::store;
use crate::store::token_key::load_token_key;

/// Answers clients that cannot be pushed to, until SIGTERM or Ctrl-C: polling, a feed,
/// sockets, browsers. Any number of them can run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file; config.toml.example documents every key
    #[arg(long, value_name = "PATH")]
    pub config: PathBuf,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    logs::start(&config.log)?;
    let stop = signals::stop_when_requested()?;
    let url = config.database.url.read().context("database.url")?;
    let way = way(&config.database);
    let pool = store::connect_by(way, &url, config.database.max_connections)?;
    if reach_database(&pool, &stop).await?.is_none() {
        return Ok(());
    }
    allow_open_files(config.gateway.max_connections);
    let (metrics, health) = (Metrics::new(), Health::without_shards());
    let address = config.gateway.health_listen;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("gateway.health_listen: cannot listen on {address}"))?;
    info!(address = %listener.local_addr()?, "metrics and health");
    let ground = Ground {
        pool: pool.clone(),
        reader_pool: store::connect_by(way, &url, 1)?,
        token_key: load_token_key(&pool).await?,
        poll_min: config.worker.poll_min,
        poll_max: config.worker.poll_max,
        metrics: metrics.clone(),
        health: health.clone(),
        stop: stop.clone(),
    };
    let gateway = open_gateway(&config, ground).await?;
    tokio::join!(gateway, serve(listener, metrics, health, stop));
    pool.close().await;
    info!("stopped");
    Ok(())
}
