//! Reads subscriptions for the reader, with the secrets that they name.

use std::sync::Arc;

use uuid::Uuid;

use crate::config::secrets;
use crate::flow::STATEMENT;
use crate::flow::subscriptions::{Loaded, Look, Place, Resolved, SubscriptionRow};
use crate::store::history::newest_change;
use crate::store::subscriptions::{
    PAGE, find_merchants_of, find_of_merchants, find_of_shards, load_by_id, load_opener,
    resolve_row,
};
use crate::store::{Pool, StoreError, within};
use crate::vault::Keyring;

/// What reading subscriptions needs.
#[derive(Clone)]
pub struct Loader {
    /// The worker's connections.
    pub pool: Pool,
    /// What opens stored secrets.
    pub keys: Arc<Keyring>,
    /// The names of the proxy pools that this worker knows.
    pub proxy_pools: Arc<[String]>,
}

impl Loader {
    /// All subscriptions of these merchants.
    pub async fn of_merchants(&self, merchants: &[String]) -> Result<Loaded, StoreError> {
        let ids = within(STATEMENT, find_of_merchants(&self.pool, merchants)).await?;
        self.load(&ids).await
    }

    /// All subscriptions of the merchants whose lanes these are.
    pub async fn of_lanes(&self, lanes: &[Uuid]) -> Result<Loaded, StoreError> {
        let merchants = find_merchants_of(&self.pool, lanes);
        let merchants = within(STATEMENT * 3, merchants).await?;
        self.of_merchants(&merchants).await
    }

    /// What is to be read beside the events, and where in the shards to go on.
    pub async fn look(&self, look: Look) -> Result<(Loaded, Vec<Place>), StoreError> {
        match look {
            Look::Merchants(merchants) => {
                let loaded = self.of_merchants(&merchants).await?;
                Ok((loaded, Vec::new()))
            }
            Look::Shards(mut places) => {
                let ids = within(STATEMENT, find_of_shards(&self.pool, &mut places)).await?;
                Ok((self.load(&ids).await?, places))
            }
        }
    }

    /// Whether rows that were read before can be used by now.
    pub async fn again(&self, rows: Vec<SubscriptionRow>) -> Result<Loaded, StoreError> {
        Ok(Loaded {
            rows: self.resolve(rows).await?,
            changed_at: None,
        })
    }

    /// A page at a time: the rows take several times what stays of them.
    async fn load(&self, ids: &[Uuid]) -> Result<Loaded, StoreError> {
        let mut rows = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            let read = within(STATEMENT * 3, load_by_id(&self.pool, page)).await?;
            rows.extend(self.resolve(read).await?);
        }
        Ok(Loaded {
            rows,
            changed_at: within(STATEMENT, newest_change(&self.pool)).await?,
        })
    }

    async fn resolve(&self, rows: Vec<SubscriptionRow>) -> Result<Vec<Resolved>, StoreError> {
        let opener = load_opener(&self.pool, &self.keys, &rows);
        let opener = within(STATEMENT, opener).await?;
        let resolved = rows.into_iter().map(|row| {
            let (subscription, why) = resolve_row(&row, &opener, &secrets::read, &self.proxy_pools);
            Resolved {
                identity: row.identity.clone(),
                subscription,
                unusable: why.map(|why| Box::new((row, why))),
            }
        });
        Ok(resolved.collect())
    }
}
