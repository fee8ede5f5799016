//! Sets the demo up: the schema, the receiver, and the worker's config file. All files
//! are in the private PostgreSQL's directory, which goes away with it however the demo
//! ends.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::postgres::{PrivatePostgres, free_port};
use super::script::{Conduct, Endpoint, MERCHANTS, Merchant, SECRETS};
use crate::config::Config;
use crate::config::builtin_profiles;
use crate::receiver::{Behaviour, Receiver};
use crate::store::schema::migrate;

/// What an endpoint that is out of order answers.
pub const OUT_OF_ORDER: &str = "503";

/// What the demo plays on: a receiver, and what a worker is started with.
pub struct Stage {
    /// The receiver of all endpoints.
    pub receiver: Receiver,
    /// The worker's configuration.
    pub config: Config,
    /// The database's URL.
    pub database: String,
    /// The address of the worker's metrics.
    pub metrics: SocketAddr,
    /// The configuration as a file, for a worker that is another process.
    pub config_file: PathBuf,
    /// The file that the worker logs to.
    pub log_file: PathBuf,
}

impl Stage {
    /// Sets the stage over a private PostgreSQL: its schema, receiver and configuration.
    pub async fn set(postgres: &PrivatePostgres) -> anyhow::Result<Self> {
        let database = postgres.url("postgres");
        migrate(&database.clone().into(), None, &builtin_profiles()).await?;
        let receiver = Receiver::bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
        for (merchant, endpoint) in endpoints() {
            receiver.on(&endpoint.path(merchant), conduct(endpoint, false)?);
        }
        let data = postgres.data_dir();
        let directory = data.parent().context("the cluster has no directory")?;
        for (name, secret) in SECRETS {
            fs::write(directory.join(name), secret)?;
        }
        // The kernel says which one is free; nobody else has a reason to take it in the
        // moment until the worker does.
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let config_file = directory.join("posthorn.toml");
        fs::write(
            &config_file,
            config(&database, metrics, &receiver, directory),
        )?;
        Ok(Self {
            config: Config::load(&config_file)?,
            receiver,
            database,
            metrics,
            log_file: directory.join("worker.log"),
            config_file,
        })
    }
}

/// The endpoints of all merchants, each with its merchant.
pub fn endpoints() -> impl Iterator<Item = (&'static Merchant, &'static Endpoint)> {
    MERCHANTS.iter().flat_map(|merchant| {
        merchant
            .endpoints
            .iter()
            .map(move |endpoint| (merchant, endpoint))
    })
}

/// Tells how an endpoint behaves while it is out of order, and otherwise.
pub fn conduct(endpoint: &Endpoint, out_of_order: bool) -> anyhow::Result<Behaviour> {
    let answer = match endpoint.conduct {
        Conduct::FailsForAWhile if out_of_order => OUT_OF_ORDER,
        Conduct::FailsForAWhile | Conduct::Works | Conduct::NeverRecovers => endpoint.answer,
    };
    Ok(answer.parse()?)
}

fn config(database: &str, metrics: SocketAddr, receiver: &Receiver, directory: &Path) -> String {
    let head = format!(
        r#"# Written by `posthorn demo`. Waits are seconds here that are minutes or hours in earnest.
[database]
url = "{database}"

[worker]
name = "demo"
grace = "5s"

[lanes]
probe_interval_max = "250ms"   # 2s in earnest

[egress]
allow = ["127.0.0.0/8"]

[http]
listen = "{metrics}"
"#
    );
    let sections = endpoints().map(|(merchant, endpoint)| {
        let Endpoint {
            name, kinds, query, ..
        } = endpoint;
        format!(
            "\n[[subscription]]\nmerchant = \"{}\"\nname = \"{name}\"\nurl = \"{}{query}\"\nkinds = [\"{kinds}*\"]\n{}",
            merchant.name,
            receiver.url(&endpoint.path(merchant)),
            endpoint
                .settings
                .replace("{directory}", &directory.display().to_string())
        )
    });
    head + &sections.collect::<String>()
}
