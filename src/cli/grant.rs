//! `posthorn grant`: gives a database role just the rights of its part.

use std::io::{self, Write};

use anyhow::anyhow;

use super::database::{self, DatabaseArgs};
use crate::store::grants::{GrantFailed, Part, grant};
use crate::store::{StoreError, connect};

/// Gives an existing database role just the rights that its part needs. Safe to run
/// again; do so after each migration.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub to: To,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct To {
    /// The provider's application: may insert events, and nothing else
    #[arg(long, value_name = "ROLE")]
    pub publisher: Option<String>,

    /// The role of the worker processes
    #[arg(long, value_name = "ROLE")]
    pub worker: Option<String>,

    /// The role of the gateway processes
    #[arg(long, value_name = "ROLE")]
    pub gateway: Option<String>,

    /// Support staff: may read everything but secrets and payloads
    #[arg(long, value_name = "ROLE")]
    pub viewer: Option<String>,
}

impl To {
    /// None is only possible where clap did not make this.
    fn part(self) -> Option<(Part, &'static str, String)> {
        let publisher = self
            .publisher
            .map(|role| (Part::Publisher, "publisher", role));
        let worker = self.worker.map(|role| (Part::Worker, "worker", role));
        let viewer = self.viewer.map(|role| (Part::Viewer, "viewer", role));
        let gateway = self.gateway.map(|role| (Part::Gateway, "gateway", role));
        publisher.or(worker).or(gateway).or(viewer)
    }
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let (part, name, role) = args
        .to
        .part()
        .ok_or_else(|| anyhow!("no role; give --publisher, --worker, --gateway or --viewer"))?;
    let pool = connect(&args.database.url()?, 1)?;
    let granted = grant(&pool, part, &role).await;
    pool.close().await;
    granted.map_err(|error| anyhow!("{error}{}", remedy(&error)))?;
    Ok(writeln!(io::stdout(), "{role} has the rights of a {name}")?)
}

fn remedy(error: &GrantFailed) -> &'static str {
    match error {
        GrantFailed::Store(StoreError::Database(error)) => database::remedy(error),
        GrantFailed::Store(_) | GrantFailed::NoSuchRole(_) => "",
    }
}
