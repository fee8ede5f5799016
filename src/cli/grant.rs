//! `posthorn grant`: gives a database role just the rights of its part.

use std::io::{self, Write};

use anyhow::anyhow;

use super::database::{self, DatabaseArgs};
use crate::store::grants::{GrantFailed, Part, grant};

/// Gives an existing database role just the rights that its parts need. Safe to run
/// again.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub to: To,

    /// With --publisher: it may insert events of this merchant alone, through the view
    /// `posthorn.own_events`; repeat it for each
    #[arg(long, value_name = "MERCHANT", requires = "publisher")]
    pub merchant: Vec<String>,

    /// With --viewer: it sees the bodies of receivers' answers too
    #[arg(long, requires = "viewer")]
    pub answers: bool,

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

impl Args {
    /// The part and the role that were given; none is only possible where clap did not make this.
    fn part(&self) -> Option<(Part, &str)> {
        let publishes = match self.merchant.as_slice() {
            [] => Part::Publisher,
            merchants => Part::PublisherOf(merchants.to_vec()),
        };
        let views = Part::Viewer {
            answers: self.answers,
        };
        let To {
            publisher,
            worker,
            gateway,
            viewer,
        } = &self.to;
        [
            (publishes, publisher),
            (Part::Worker, worker),
            (Part::Gateway, gateway),
            (views, viewer),
        ]
        .into_iter()
        .find_map(|(part, role)| Some((part, role.as_deref()?)))
    }
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let (part, role) = args
        .part()
        .ok_or_else(|| anyhow!("no role; give --publisher, --worker, --gateway or --viewer"))?;
    let role = role.to_owned();
    let pool = database::open(&args.database.url()?, 1).await?;
    let granted = grant(&pool, &part, &role).await;
    pool.close().await;
    granted.map_err(|error| anyhow!("{error}{}", remedy(&error)))?;
    Ok(writeln!(
        io::stdout(),
        "{role} has the rights of a {}",
        part.name()
    )?)
}

fn remedy(error: &GrantFailed) -> &'static str {
    match error {
        GrantFailed::Store(error) => error.remedy(),
        GrantFailed::NoSuchRole(_) | GrantFailed::IsTheOwner { .. } => "",
    }
}
