//! What `render` and `send-test` have in common: a subscription as it takes effect, an
//! event, and the request that a worker would make of them.

use anyhow::{anyhow, bail};
use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::database::{self, refusal};
use super::event::EventArgs;
use super::named::SubscriptionName;
use crate::config::{Config, secrets};
use crate::model::settings::resolve;
use crate::model::{Credential, Endpoint, Event, Subscription};
use crate::shape::{Moment, Request, endpoint, shape, within_bounds};
use crate::store::Pool;
use crate::store::shards::cluster_and_time;
use crate::store::subscriptions::load_opener;
use crate::store::token_key::load_token_key;

#[derive(Debug, clap::Args)]
pub struct RequestArgs {
    #[command(flatten)]
    which: SubscriptionName,

    #[command(flatten)]
    event: EventArgs,

    /// Where to, as a transaction's own subscription says it; for templates
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// The attempt's number
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    attempt: u32,

    /// The worker's configuration file, for its database, egress policy and secret keys
    #[arg(long, value_name = "PATH")]
    config: Option<std::path::PathBuf>,

    /// Such as `postgres://user@host/database`; without it, the file's, or `DATABASE_URL`
    #[arg(long, value_name = "URL", value_parser = database::secret)]
    database_url: Option<SecretString>,
}

/// A request that is ready to be sent.
pub struct Prepared {
    pub config: Config,
    pub subscription: Subscription,
    pub event: Event,
    pub request: Request,
    /// The database's time.
    pub now: DateTime<Utc>,
}

impl RequestArgs {
    pub async fn prepare(self) -> anyhow::Result<Prepared> {
        let config = self.config.as_deref().map(Config::load).transpose()?;
        let url = database::url(self.database_url.clone(), config.as_ref())?;
        let config = config.unwrap_or_default();
        let pool = database::open(&url, 1).await?;
        let prepared = self.prepare_with(config, &pool).await;
        pool.close().await;
        prepared
    }

    async fn prepare_with(self, config: Config, pool: &Pool) -> anyhow::Result<Prepared> {
        let mut subscription = resolved(&self.which, &config, pool).await?;
        if let Some(url) = self.url {
            let own = Endpoint {
                template_id: subscription.id,
                url: Some(url.into()),
                method: None,
                success_body: None,
            };
            subscription = endpoint::over(&own, &subscription)?;
        }
        let (_, now) = cluster_and_time(pool)
            .await
            .map_err(|error| refusal(&error))?;
        let token_key = load_token_key(pool)
            .await
            .map_err(|error| refusal(&error))?;
        let event: Event = self.event.find(pool, &subscription, now).await?;
        let moment = Moment {
            subscription_id: subscription.id,
            attempt: self.attempt,
            now,
            nonce: rand::random(),
            token_key: &token_key,
            credential: Credential::Current,
        };
        let request = within_bounds(&event, config.worker.max_data_bytes)
            .and_then(|()| shape(&event, &subscription, &moment))
            .map_err(|unsendable| anyhow!("this would be a posting error at once: {unsendable}"))?;
        Ok(Prepared {
            config,
            subscription,
            event,
            request,
            now,
        })
    }
}

/// With its secrets, as a worker resolves it.
async fn resolved(
    which: &SubscriptionName,
    config: &Config,
    pool: &Pool,
) -> anyhow::Result<Subscription> {
    let row = which.find(pool).await?;
    let keys = config.secrets.keyring()?;
    let rows = [row];
    let opener = load_opener(pool, &keys, &rows)
        .await
        .map_err(|error| refusal(&error))?;
    let [row] = &rows;
    let read = |from: &_| opener.read(&row.identity.merchant, from, &secrets::read);
    match resolve(row.identity.clone(), &row.settings, &read) {
        Ok(subscription) => Ok(subscription),
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            bail!(
                "the subscription cannot be used:\n  {}",
                problems.join("\n  ")
            )
        }
    }
}
