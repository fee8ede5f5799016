//! `posthorn gateway`: answers those who fetch their events, until it is told to stop.

use std::path::PathBuf;

use anyhow::Context;
use tracing::info;

use super::{logs, signals};
use crate::config::Config;
use crate::gateway::GatewayGround;
use crate::http::{Health, Metrics};
use crate::start::{Schema, allow_open_files, open_gateway, reach_database, serve_health, way};
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
    allow_open_files(config.gateway.max_connections);
    let (metrics, health) = (Metrics::new(), Health::without_shards());
    let listen = ("gateway.health_listen", config.gateway.health_listen);
    let serving = serve_health(listen, &metrics, &health, &stop).await?;
    // Another round where another database has taken the place of the last one.
    let mut schema = Schema::IsThere;
    while !stop.is_cancelled() {
        let pool = store::connect_by(way, &url, config.database.max_connections)?;
        let Some((cluster, _)) = reach_database(&pool, schema, &stop).await? else {
            break;
        };
        pool.keep_to(&cluster);
        let ground = GatewayGround {
            pool: pool.clone(),
            reader_pool: store::connect_by(way, &url, 1)?,
            token_key: load_token_key(&pool).await?,
            poll_min: config.worker.poll_min,
            poll_max: config.worker.poll_max,
            metrics: metrics.clone(),
            health: health.clone(),
            stop: stop.child_token(),
        };
        open_gateway(&config, ground).await?.await;
        pool.close().await;
        schema = Schema::MayCome;
    }
    serving
        .await
        .context("metrics and health ended in a panic")?;
    info!("stopped");
    Ok(())
}
